//! The roles of the fake's engines: who holds the address, who follows whom, who hangs.
//!
//! What a replica has is what its master had while the link was up. The one thing that a real
//! machine enforces by itself is enforced here, too: an address has one engine.

use std::collections::BTreeMap;
use std::time::Duration;

use ourkv_domain::ids::InstanceId;
use ourkv_domain::secret::Secret;
use tokio::time::Instant;

use super::held::{Copy, keys};
use super::{Fake, State, refused};
use crate::substrate::{
    Health, Kept, Lead, Link, Member, Pulse, Replication, Seen, Silence, Standing, Trouble, Unit,
};

/// What a running engine does.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what tests do to an engine, in any combination")]
pub(super) struct Post {
    /// It follows nobody.
    master: bool,
    /// It holds the address.
    open: bool,
    /// It has followed since it was started.
    linked: bool,
    /// Since when it does not follow any more.
    cut: Option<Instant>,
    hung: bool,
    /// When it was first asked in vain, and how often since.
    silent: Option<(Instant, u32)>,
    paused: Option<Instant>,
    /// What lets the tenant in.
    passwords: Vec<Secret>,
}

impl Fake {
    /// An engine hangs; whoever asks it gets no answer.
    pub fn hang(&self, id: &InstanceId, member: Member) {
        self.state().post(id, member, |post| post.hung = true);
    }

    /// The link between the engines of a pair breaks.
    pub fn cut(&self, id: &InstanceId) {
        self.state().cut(id);
    }

    /// A replica gets nothing of what is written, though its link is up; or again everything.
    pub fn lag(&self, id: &InstanceId, lags: bool) {
        let mut state = self.state();
        if lags {
            state.lagging.insert(id.clone());
        } else {
            state.lagging.remove(id);
            state.replicate(id);
        }
    }

    /// The data of an engine that does not run go from its disk.
    pub fn lose_disk(&self, id: &InstanceId, member: Member) {
        self.state().held.entry(id.clone()).or_default().copies.remove(&member);
    }

    /// A client writes at the address; says whether that was acknowledged.
    ///
    /// # Panics
    /// Where two engines hold the address.
    pub fn write(&self, id: &InstanceId, line: &str) -> bool {
        let mut state = self.state();
        let Some(member) = state.writer(id) else { return false };
        let now = Instant::now();
        let post = &state.posts[id][&member];
        if post.hung || post.paused.is_some_and(|until| until > now) {
            return false;
        }
        let held = state.held.entry(id.clone()).or_default();
        held.copies.entry(member).or_default().append(line);
        state.replicate(id);
        true
    }

    /// The passwords that let the tenant in to an engine.
    pub fn passwords(&self, id: &InstanceId, member: Member) -> Vec<Secret> {
        let state = self.state();
        let post = state.posts.get(id).and_then(|posts| posts.get(&member));
        post.map(|post| post.passwords.clone()).unwrap_or_default()
    }

    pub(super) fn take_passwords(&self, unit: &Unit) -> Result<(), Trouble> {
        let mut state = self.state();
        for &member in unit.members() {
            if state.posts.get(&unit.id).is_some_and(|posts| posts.contains_key(&member))
                && !state.answers(&unit.id, member)
            {
                return Err(refused("taking a password", "it hangs"));
            }
            let accepted = unit.secrets.accepted().cloned().collect();
            state.post(&unit.id, member, |post| post.passwords = accepted);
        }
        Ok(())
    }

    /// Who takes writes at the address.
    pub fn writer(&self, id: &InstanceId) -> Option<Member> {
        self.state().writer(id)
    }

    pub(super) fn stand(&self, unit: &Unit) -> BTreeMap<Member, Standing> {
        let state = self.state();
        let each = unit.members().iter().map(|member| (*member, state.standing(&unit.id, *member)));
        each.collect()
    }

    pub(super) fn feel(&self, unit: &Unit, member: Member) -> Pulse {
        let mut state = self.state();
        state.post(&unit.id, member, Post::ask);
        match state.posts.get(&unit.id).and_then(|posts| posts.get(&member)) {
            None => Pulse::Gone,
            Some(Post { silent: Some((since, times)), .. }) => {
                Pulse::Silent(Silence { lasts: since.elapsed(), times: *times })
            }
            Some(post) => Pulse::Answers(post.master.then(|| {
                let copy = state.copy(&unit.id, member);
                (copy.history.to_string(), copy.offset)
            })),
        }
    }

    pub(super) fn write_lead(&self, unit: &Unit) -> Result<(), Trouble> {
        let mut state = self.state();
        let Some(seen) = state.seen.get_mut(&unit.id).filter(|seen| seen.prepared) else {
            return Err(refused("declaring", "not prepared"));
        };
        if seen.lead.epoch > unit.lead.epoch {
            return Err(refused("declaring", "there is a later decision"));
        }
        seen.lead = unit.lead;
        Ok(())
    }

    pub(super) fn open(&self, unit: &Unit) -> Result<(), Trouble> {
        let mut state = self.state();
        let (id, member) = (&unit.id, state.lead(unit).master);
        if state.writer(id).is_some_and(|writer| writer != member) {
            return Err(refused("promoting", "the address is in use"));
        }
        if !state.answers(id, member) {
            return Err(refused("promoting", "nobody there"));
        }
        state.post(id, member, |post| post.turn_to(Post::of_master()));
        state.held.entry(id.clone()).or_default().begin_history(member);
        Ok(())
    }

    pub(super) fn close(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let mut state = self.state();
        if !state.answers(&unit.id, member) {
            return Err(refused("demoting", "nobody there"));
        }
        state.post(&unit.id, member, |post| post.turn_to(Post::default()));
        Ok(())
    }

    pub(super) fn pause(
        &self,
        unit: &Unit,
        member: Member,
        limit: Option<Duration>,
    ) -> Result<(), Trouble> {
        let mut state = self.state();
        if !state.answers(&unit.id, member) {
            return Err(refused("pausing", "nobody there"));
        }
        let until = limit.map(|limit| Instant::now() + limit);
        state.post(&unit.id, member, |post| post.paused = until);
        Ok(())
    }

    pub(super) fn follow(&self, unit: &Unit) -> Result<(), Trouble> {
        let mut state = self.state();
        let (id, master) = (&unit.id, state.lead(unit).master);
        let both = [master, master.other()].iter().all(|member| state.answers(id, *member));
        if !both || state.writer(id) != Some(master) {
            return Err(refused("linking", "not a running pair"));
        }
        let follower = Post { linked: true, ..Post::default() };
        state.post(id, master.other(), |post| post.turn_to(follower));
        state.replicate(id);
        Ok(())
    }
}

impl Post {
    fn of_master() -> Self {
        Self { master: true, open: true, ..Self::default() }
    }

    /// It is asked for a sign of life.
    fn ask(&mut self) {
        let (since, times) = self.silent.unwrap_or((Instant::now(), 0));
        self.silent = self.hung.then(|| (since, times + 1));
    }

    /// Does something else from here on; who may log in stays.
    fn turn_to(&mut self, mut post: Self) {
        post.passwords = std::mem::take(&mut self.passwords);
        *self = post;
    }

    fn health(&self, is_master: bool) -> Health {
        if self.hung {
            return Health::Starting;
        }
        let astray = if is_master { !(self.master && self.open) } else { self.master || self.open };
        let follows = !is_master && self.linked && self.cut.is_none();
        match (astray, follows) {
            (true, _) => Health::Astray,
            (false, true) => Health::Linked,
            (false, false) => Health::Answering,
        }
    }
}

impl State {
    /// What is seen of an instance by whoever knows that decision.
    pub(super) fn sight(&self, id: &InstanceId, lead: Lead) -> Seen {
        let mut seen = self.seen.get(id).cloned().unwrap_or_default();
        let master = lead.or_later(seen.lead).master;
        if let Some(posts) = self.posts.get(id) {
            let each = posts.iter().map(|(member, post)| (*member, post.health(*member == master)));
            seen.running = each.collect();
        }
        seen
    }

    /// An engine is started at its post.
    pub(super) fn begin(&mut self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let (id, is_master) = (&unit.id, self.lead(unit).master == member);
        if self.posts.get(id).is_some_and(|posts| posts.contains_key(&member)) {
            let answers = self.answers(id, member);
            return answers.then_some(()).ok_or_else(|| refused("starting", "it hangs"));
        }
        if is_master {
            if self.writer(id).is_some() {
                return Err(refused("starting", "the address is in use"));
            }
            let held = self.held.entry(id.clone()).or_default();
            held.load(member)?;
            held.begin_history(member);
        }
        let mut post = if is_master { Post::of_master() } else { Post::default() };
        post.passwords = unit.secrets.accepted().cloned().collect();
        self.posts.entry(id.clone()).or_default().insert(member, post);
        Ok(())
    }

    /// An engine ends; says whether it ran.
    pub(super) fn end(&mut self, id: &InstanceId, member: Member) -> bool {
        let ran = self.posts.get_mut(id).is_some_and(|posts| posts.remove(&member).is_some());
        if ran {
            self.cut(id);
        }
        ran
    }

    /// Whether an engine lets the tenant in with one of the passwords that should be good.
    pub(super) fn lets_in(&self, unit: &Unit, member: Member) -> Result<(), Trouble> {
        let post = self.posts.get(&unit.id).and_then(|posts| posts.get(&member));
        let known = post.map(|post| post.passwords.as_slice()).unwrap_or_default();
        let mut accepted = unit.secrets.accepted();
        if unit.secrets.password.is_none() || accepted.any(|password| known.contains(password)) {
            return Ok(());
        }
        Err(refused("logging in", "wrong password"))
    }

    /// Who holds the address.
    pub(super) fn writer(&self, id: &InstanceId) -> Option<Member> {
        let posts = self.posts.get(id)?;
        let open: Vec<_> = posts.iter().filter(|(_, post)| post.open).map(|(m, _)| *m).collect();
        assert!(open.len() <= 1, "two engines hold the address of {id}");
        open.first().copied()
    }

    pub(super) fn lead(&self, unit: &Unit) -> Lead {
        unit.lead.or_later(self.seen.get(&unit.id).map(|seen| seen.lead).unwrap_or_default())
    }

    fn standing(&self, id: &InstanceId, member: Member) -> Standing {
        let copy = self.copy(id, member);
        let post = self.posts.get(id).and_then(|posts| posts.get(&member));
        let replication = post.filter(|post| !post.hung).map(|post| Replication {
            history: copy.history.to_string(),
            offset: copy.offset,
            link: match (post.master, post.linked, post.cut) {
                (true, ..) => Link::Master,
                (false, true, None) => Link::Up,
                (false, true, Some(cut)) => Link::Down(cut.elapsed()),
                (false, false, _) => Link::Never,
            },
            keys: keys(&copy.data),
            loading: false,
        });
        let held = self.held.get(id).filter(|held| !held.volatile);
        let disk = held.and_then(|held| held.copies.get(&member));
        let disk = disk.map(|copy| Kept { bytes: copy.data.len() as u64, age: Duration::ZERO });
        Standing { replication, disk }
    }

    fn copy(&self, id: &InstanceId, member: Member) -> Copy {
        let held = self.held.get(id);
        held.and_then(|held| held.copies.get(&member)).cloned().unwrap_or_default()
    }

    fn answers(&self, id: &InstanceId, member: Member) -> bool {
        let post = self.posts.get(id).and_then(|posts| posts.get(&member));
        post.is_some_and(|post| !post.hung)
    }

    fn post(&mut self, id: &InstanceId, member: Member, change: impl FnOnce(&mut Post)) {
        if let Some(post) = self.posts.get_mut(id).and_then(|posts| posts.get_mut(&member)) {
            change(post);
        }
    }

    fn cut(&mut self, id: &InstanceId) {
        for post in self.posts.get_mut(id).into_iter().flat_map(BTreeMap::values_mut) {
            if post.linked {
                post.cut.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Whoever follows has what its master has.
    pub(super) fn replicate(&mut self, id: &InstanceId) {
        let Some(writer) = self.writer(id).filter(|_| !self.lagging.contains(id)) else { return };
        let copy = self.copy(id, writer);
        let follower = self.posts.get(id).and_then(|posts| posts.get(&writer.other()));
        if follower.is_some_and(|post| post.linked && post.cut.is_none()) {
            self.held.entry(id.clone()).or_default().copies.insert(writer.other(), copy);
        }
    }
}
