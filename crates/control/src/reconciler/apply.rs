//! Doing one stage: its effects at the substrate, concurrently, each as a [`Step`].

use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::World;
use super::password::Passing;
use super::stage::Stage;
use super::step::Step;
use super::vigil::still_acts;
use crate::substrate::{Member, Stop, Trouble, Unit};

/// How long one start may keep others from starting. What takes longer waits for something and
/// burns no processor.
const START_TURN: Duration = Duration::from_secs(1);

/// Does what the stage asks of the substrate; gives back the steps that it consisted of. Stages
/// that only change what is remembered, or begin something elsewhere, ask nothing of it.
pub(super) async fn apply(world: &World, unit: &Unit, stage: &Stage) -> Result<Vec<Step>, Trouble> {
    let substrate = &world.substrate;
    match stage {
        Stage::Prepare => one(world, unit, Step::Prepare, substrate.prepare(unit)).await,
        Stage::Start(member) => each(&[*member], |member| start(world, unit, member)).await,
        Stage::Link => one(world, unit, Step::Link, substrate.link(unit)).await,
        Stage::Login | Stage::Settle | Stage::EndSwitch => {
            one(world, unit, Step::Login, substrate.login(unit)).await
        }
        Stage::Stop(members, how) => each(members, |member| stop(world, unit, member, *how)).await,
        Stage::Remove => one(world, unit, Step::Remove, substrate.remove(unit)).await,
        Stage::Swap(serial) => one(world, unit, Step::Swap, substrate.swap(unit, *serial)).await,
        Stage::Tidy => one(world, unit, Step::Tidy, substrate.tidy(unit)).await,
        Stage::Fence(member) => one(world, unit, Step::Fence, substrate.fence(unit, *member)).await,
        Stage::Declare(_) => one(world, unit, Step::Declare, substrate.declare(unit)).await,
        Stage::Promote(_) => {
            let _turn = world.promotions.acquire().await;
            one(world, unit, Step::Promote, substrate.promote(unit)).await
        }
        Stage::Demote(member) => one(world, unit, Step::Demote, demote(world, unit, *member)).await,
        Stage::Password(Passing::Admit) => {
            one(world, unit, Step::AdmitPassword, substrate.admit_password(unit)).await
        }
        Stage::Password(Passing::Dismiss) => {
            one(world, unit, Step::DismissPasswords, substrate.dismiss_passwords(unit)).await
        }
        Stage::Password(Passing::NoteAdmitted | Passing::NoteDismissed)
        | Stage::Gather
        | Stage::GiveUp
        | Stage::Await
        | Stage::Rest
        | Stage::Forget
        | Stage::Elect
        | Stage::TakeOver(_)
        | Stage::Acknowledge(_)
        | Stage::Halt(_)
        | Stage::GiveUpSwitch => Ok(Vec::new()),
    }
}

/// Waits for `work`, but not for ever: what hangs is reported, and tried again later.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(Trouble::Silent { doing, seconds: limit.as_secs() }))
}

/// Performs one step, timed.
pub(super) async fn one(
    world: &World,
    unit: &Unit,
    step: Step,
    work: impl Future<Output = Result<(), Trouble>> + Send,
) -> Result<Vec<Step>, Trouble> {
    let work = async {
        still_acts(world).await?;
        work.await
    };
    let work = within(world.settings.step_limit, step.name(), step.run(work));
    timed(unit, step, work).await.map(|()| vec![step])
}

/// Counts and logs how long a step takes.
pub(super) async fn timed<T>(
    unit: &Unit,
    step: Step,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let began = Instant::now();
    let done = work.await;
    let took = began.elapsed();
    let outcome = if done.is_ok() { "done" } else { "failed" };
    metrics::histogram!("ourkv_step_seconds", "step" => step.name(), "outcome" => outcome)
        .record(took.as_secs_f64());
    tracing::debug!(instance.id = %unit.id, step = step.name(), outcome,
        duration_ms = took.as_secs_f64() * 1000.0, "step");
    done
}

async fn start(world: &World, unit: &Unit, member: Member) -> Result<Vec<Step>, Trouble> {
    let turn = world.starts.acquire().await;
    let work = one(world, unit, Step::start(member), world.substrate.start(unit, member));
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(START_TURN, &mut work).await {
        return done;
    }
    drop(turn);
    work.await
}

/// One that can't be told to leave the address is ended: the next master has all its writes.
async fn demote(world: &World, unit: &Unit, member: Member) -> Result<(), Trouble> {
    let told = world.substrate.demote(unit, member).await;
    if let Err(error) = told {
        tracing::warn!(instance.id = %unit.id, %member, %error, "a former master is ended");
        return world.substrate.fence(unit, member).await;
    }
    Ok(())
}

async fn stop(world: &World, unit: &Unit, member: Member, how: Stop) -> Result<Vec<Step>, Trouble> {
    one(world, unit, Step::stop(member, how), world.substrate.stop(unit, member, how)).await
}

/// Does something to each member at once, and all of it even where one of them fails.
async fn each<F>(members: &[Member], effect: impl Fn(Member) -> F) -> Result<Vec<Step>, Trouble>
where
    F: Future<Output = Result<Vec<Step>, Trouble>>,
{
    let done = join_all(members.iter().map(|member| effect(*member))).await;
    let done: Result<Vec<_>, _> = done.into_iter().collect();
    Ok(done?.concat())
}
