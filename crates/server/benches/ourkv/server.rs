//! The real program, `ourkv serve`, on a data directory of its own.

use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::client::{Client, KEY_ID, KEY_SECRET, endpoint};
use crate::ground::{Block, TIGHT, say, until};
use crate::pong::Login;
use crate::process::Process;

/// The program that is measured.
pub(crate) const OURKV: &str = env!("CARGO_BIN_EXE_ourkv");
/// The password of every instance.
pub(crate) const PASSWORD: &str = "Passw0rd!@#";
/// One redis-server.
pub(crate) const STANDALONE: &str = "redis.basic.small.default";
/// A master and its replica.
pub(crate) const PAIR: &str = "redis.master.small.default";

/// A server and everything that it starts; dropping it ends it all.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    dir: PathBuf,
    block: &'a Block,
    process: Option<Process>,
}

/// An instance, and how to log in to it.
#[derive(Debug, Clone)]
pub(crate) struct Created {
    pub(crate) id: String,
    pub(crate) address: SocketAddrV4,
    pub(crate) login: Login,
}

impl<'a> Server<'a> {
    /// A server that does not run yet.
    pub(crate) fn new(dir: PathBuf, block: &'a Block) -> anyhow::Result<Self> {
        std::fs::create_dir(&dir)?;
        Ok(Self { dir, block, process: None })
    }

    /// Starts it, and returns a client with the first signed answer behind it.
    pub(crate) fn start(&mut self) -> anyhow::Result<Client> {
        let own = self.block.own().to_string();
        let mut command = self.command("serve")?;
        command
            .args(["--listen", &format!("{own}:2015"), "--dns", &format!("{own}:2053")])
            .args(["--address-block", &self.block.cidr()])
            .stdout(Stdio::null());
        self.process = Some(Process::spawn(&mut command)?);
        let address: SocketAddr = format!("{own}:2015").parse()?;
        until("the first signed answer", TIGHT, || {
            // Nobody listens yet: tried again. Once somebody does, the call has to succeed.
            match Client::connect(address) {
                Ok(mut client) => {
                    client.call("DescribeRegions", &[])?;
                    Ok(Some(client))
                }
                Err(_) => self.check_runs().map(|()| None),
            }
        })
    }

    /// Another client of it.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::connect((self.block.own(), 2015).into())
    }

    /// The pid of the server.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.process.as_ref().context("the server does not run")?.pid())
    }

    /// Ends the server in order; engines go on.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), Process::terminate)
    }

    /// How many instances have something left on the disk.
    pub(crate) fn left(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(self.engines())?.count())
    }

    /// Ends the server at once, as a power cut of its process would; engines go on.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Where engines run.
    pub(crate) fn engines(&self) -> PathBuf {
        self.dir.join("data/engines")
    }

    fn check_runs(&mut self) -> anyhow::Result<()> {
        let process = self.process.as_mut().context("the server does not run")?;
        match process.ended()? {
            None => Ok(()),
            Some(status) => bail!("`ourkv serve` ended with {status}: {}", self.log()),
        }
    }

    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(OURKV);
        command
            .arg(name)
            .arg("--data-dir")
            .arg(self.dir.join("data"))
            .env("OURKV_ACCESS_KEY_ID", KEY_ID)
            .env("OURKV_ACCESS_KEY_SECRET", KEY_SECRET)
            // The engine of the floor, and no other that is kept on this machine.
            .env("OURKV_ENGINES_DIR", self.dir.join("no-engines"))
            // Neither is part of what is measured, and both work on after it.
            .env("OURKV_BACKUP_PROVE", "false")
            .env("OURKV_BACKUP_FINAL", "false")
            // A measurement leaves the packet filter of the machine as it is.
            .env("OURKV_NETWORK_WHITELIST", "off")
            .stdin(Stdio::null())
            .stderr(log_file(&self.dir)?);
        Ok(command)
    }

    /// What the program said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn down(&self) -> anyhow::Result<()> {
        let status = self.command("down")?.stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { bail!("`ourkv down`: {status}: {}", self.log()) }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // However the server ended, it has ended: its engines go next.
        let ended =
            [self.stop(), self.down(), std::fs::remove_dir_all(&self.dir).map_err(Into::into)];
        for error in ended.into_iter().filter_map(Result::err) {
            say(&format!("clearing {}: {error:#}", self.dir.display()));
        }
    }
}

/// Creates an instance of a class; it may not answer yet.
pub(crate) fn create(client: &mut Client, class: &str) -> anyhow::Result<Created> {
    let size = [("RegionId", "cn-hongkong"), ("InstanceClass", class), ("Password", PASSWORD)];
    Created::of(&client.call("CreateInstance", &size)?)
}

/// Creates an instance of a class with the data of another one's backup; it may not answer yet.
pub(crate) fn create_clone(
    client: &mut Client,
    class: &str,
    source: &str,
    backup: &str,
) -> anyhow::Result<Created> {
    let size = [("RegionId", "cn-hongkong"), ("InstanceClass", class), ("Password", PASSWORD)];
    let data = [("SrcDBInstanceId", source), ("BackupId", backup)];
    Created::of(&client.call("CreateInstance", &[&size[..], &data[..]].concat())?)
}

impl Created {
    fn of(answer: &Value) -> anyhow::Result<Self> {
        let id = answer["InstanceId"].as_str().context("no InstanceId")?.to_owned();
        let login = Login { user: id.clone(), password: PASSWORD };
        Ok(Self { address: endpoint(answer)?, login, id })
    }

    /// Waits until it can be used, and deleted.
    pub(crate) fn wait_until_normal(&self, client: &mut Client) -> anyhow::Result<()> {
        until(&format!("{} is Normal", self.id), 10 * TIGHT, || {
            let found = client.call("DescribeInstanceAttribute", &[("InstanceId", &self.id)])?;
            let status = &found["Instances"]["DBInstanceAttribute"][0]["InstanceStatus"];
            Ok((status == "Normal").then_some(()))
        })
    }

    /// Deletes it, once it is there to be deleted.
    pub(crate) fn delete(&self, client: &mut Client) -> anyhow::Result<()> {
        self.wait_until_normal(client)?;
        client.call("DeleteInstance", &[("InstanceId", &self.id)])?;
        Ok(())
    }
}

/// Where the program's words go: only wanted when something fails.
pub(crate) fn log_file(dir: &Path) -> anyhow::Result<File> {
    Ok(OpenOptions::new().create(true).append(true).open(dir.join("log"))?)
}
