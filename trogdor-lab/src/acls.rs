//! Who may do what on a secured broker, changed while it runs. Over the plain listener, in a few milliseconds where
//! Kafka's own tool takes a second; each call returns once the broker heeds it.

use std::{collections::BTreeSet, io, net::Ipv4Addr, time::Duration};

use tokio::net::TcpStream;

use crate::{
    error::{LabError, Trying},
    wait::pause,
    wire::{Fields, call, put_string},
};

/// What an entry is about. The name `*` stands for all of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource<'a> {
    /// A topic.
    Topic(&'a str),
    /// A consumer or share group.
    Group(&'a str),
    /// A transactional id.
    TransactionalId(&'a str),
    /// The cluster.
    Cluster,
}

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// All of the following.
    All = 2,
    /// Fetch from a topic; join a group and commit in it.
    Read = 3,
    /// Produce to a topic; use a transactional id.
    Write = 4,
    /// Create a topic (on the topic or on the cluster).
    Create = 5,
    /// Delete a topic or a group.
    Delete = 6,
    /// Add partitions.
    Alter = 7,
    /// See that something exists. Read, write, delete and alter include it.
    Describe = 8,
    /// See the configuration of a topic.
    DescribeConfigs = 10,
    /// Change the configuration of a topic.
    AlterConfigs = 11,
}

/// Which way an entry decides. A denial wins over a permission.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decision {
    Deny = 2,
    Allow = 3,
}

const DESCRIBE_ACLS: (i16, i16) = (29, 1);
const CREATE_ACLS: (i16, i16) = (30, 1);
const DELETE_ACLS: (i16, i16) = (31, 1);
/// Matches every operation, and every decision.
const ANY: i8 = 1;
/// The name stands for itself.
const LITERAL: i8 = 3;
/// A busy machine included.
const LIMIT: Duration = Duration::from_secs(20);

/// The entries of one user about one resource.
pub(crate) struct Entries<'a> {
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    pub(crate) on: Resource<'a>,
}

impl Entries<'_> {
    pub(crate) async fn add(&self, operations: &[Operation], decision: Decision) -> Result<(), LabError> {
        let wanted: BTreeSet<_> =
            operations.iter().map(|operation| (*operation as i8, decision as i8)).collect();
        let adding = async {
            let mut stream = self.connect().await?;
            let mut body = count(wanted.len());
            for (operation, decision) in &wanted {
                self.put(&mut body, *operation, *decision);
            }
            let answer = call(&mut stream, CREATE_ACLS, &body).await?;
            first_error(&answer)?;
            self.until(&mut stream, |found| wanted.is_subset(found)).await
        };
        self.within("add", adding).await
    }

    pub(crate) async fn remove(&self) -> Result<(), LabError> {
        let removing = async {
            let mut stream = self.connect().await?;
            let mut body = count(1);
            self.put(&mut body, ANY, ANY);
            let answer = call(&mut stream, DELETE_ACLS, &body).await?;
            first_error(&answer)?;
            self.until(&mut stream, BTreeSet::is_empty).await
        };
        self.within("remove", removing).await
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await
    }

    async fn within(
        &self,
        verb: &str,
        changing: impl Future<Output = io::Result<()>>,
    ) -> Result<(), LabError> {
        let what = || format!("{verb} what {} may do on {:?}", self.user, self.on);
        let changed = tokio::time::timeout(LIMIT, changing).await;
        changed.map_err(|_| LabError::TimedOut { what: what(), limit: LIMIT })?.trying(what)
    }

    /// Asks the broker what it heeds until that is as wanted.
    async fn until(
        &self,
        stream: &mut TcpStream,
        is_so: impl Fn(&BTreeSet<(i8, i8)>) -> bool,
    ) -> io::Result<()> {
        let mut body = Vec::new();
        self.put(&mut body, ANY, ANY);
        loop {
            let answer = call(stream, DESCRIBE_ACLS, &body).await?;
            if is_so(&parse_entries(&answer).ok_or(io::ErrorKind::InvalidData)?) {
                return Ok(());
            }
            pause().await;
        }
    }

    /// An entry, or a filter of entries: both have the same fields.
    fn put(&self, body: &mut Vec<u8>, operation: i8, decision: i8) {
        let (kind, name): (i8, _) = match self.on {
            Resource::Topic(name) => (2, name),
            Resource::Group(name) => (3, name),
            Resource::Cluster => (4, "kafka-cluster"),
            Resource::TransactionalId(name) => (5, name),
        };
        body.extend(kind.to_be_bytes());
        put_string(body, name);
        body.extend(LITERAL.to_be_bytes());
        put_string(body, &format!("User:{}", self.user));
        put_string(body, "*");
        body.extend(operation.to_be_bytes());
        body.extend(decision.to_be_bytes());
    }
}

fn count(items: usize) -> Vec<u8> {
    i32::try_from(items).expect("a handful").to_be_bytes().to_vec()
}

/// Both answers begin with a delay and a list of codes and messages.
fn first_error(answer: &[u8]) -> io::Result<()> {
    let mut fields = Fields(answer);
    let mut head = || Some((fields.int32()?, fields.int32()?, fields.int16()?, fields.string()?));
    match head() {
        Some((_, 1.., 0, _)) => Ok(()),
        Some((_, _, code, message)) => Err(io::Error::other(format!("the broker says {code}: {message}"))),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Operations and decisions of all entries in the answer.
fn parse_entries(answer: &[u8]) -> Option<BTreeSet<(i8, i8)>> {
    let mut fields = Fields(answer);
    let (_delay, _code, _message) = (fields.int32()?, fields.int16()?, fields.string()?);
    let mut entries = BTreeSet::new();
    for _resource in 0..fields.int32()? {
        let (_kind, _name, _pattern) = (fields.int8()?, fields.string()?, fields.int8()?);
        for _entry in 0..fields.int32()? {
            let (_principal, _host) = (fields.string()?, fields.string()?);
            entries.insert((fields.int8()?, fields.int8()?));
        }
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_cut_ones_refused() {
        let answer = b"\0\0\0\0\0\0\xff\xff\0\0\0\x01\x02\0\x01t\x03\0\0\0\x01\0\x06User:a\0\x01*\x04\x03";
        assert_eq!(parse_entries(answer), Some(BTreeSet::from([(4, 3)])));
        assert_eq!(parse_entries(&answer[..20]), None);
        let refused = b"\0\0\0\0\0\0\0\x01\0\x36\0\x02no";
        assert_eq!(first_error(refused).unwrap_err().to_string(), "the broker says 54: no");
        assert!(first_error(b"\0\0\0\0\0\0\0\x01\0\0\xff\xff").is_ok());
    }
}
