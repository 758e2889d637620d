//! The log reader: brings back entries that have left memory.

use super::log_failed;
use crate::replica::{FetchJob, Fetched};
use crate::storage::{LogReader, StorageError};
use crate::ticket::StopCause;
use crate::types::GroupId;

/// Reads the log of a host beside its writer.
pub(crate) struct LogFetcher {
    reader: Box<dyn LogReader>,
}

impl LogFetcher {
    pub(crate) fn new(reader: Box<dyn LogReader>) -> Self {
        Self { reader }
    }

    /// Reads what one job asks for. Entries that were replaced meanwhile are not missed: whoever wanted them knows.
    pub(crate) fn turn(&mut self, group: GroupId, job: FetchJob) -> Result<Fetched, StopCause> {
        let FetchJob { id, first, last, bytes_max } = job;
        let entries = match self.reader.read(group, first, last, bytes_max) {
            Err(StorageError::NoSuchEntry { .. }) => Vec::new(),
            read => read.map_err(log_failed)?,
        };
        Ok(Fetched { id, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::tests::SharedLog;
    use crate::types::{Entry, LogIndex, LogPosition, Payload, Term};

    fn fetcher_of_one_entry() -> LogFetcher {
        let founding = Entry { position: LogPosition::new(Term::ZERO, LogIndex(1)), payload: Payload::Noop };
        LogFetcher::new(Box::new(SharedLog::founded_with(founding)))
    }

    struct Unreadable;

    impl LogReader for Unreadable {
        fn read(&mut self, _: GroupId, _: LogIndex, _: LogIndex, _: u64) -> Result<Vec<Entry>, StorageError> {
            let error = std::io::Error::other("a bad sector");
            Err(StorageError::io("read", std::path::Path::new("0000000001.log"))(error))
        }
    }

    fn job(first: u64) -> FetchJob {
        FetchJob { id: 9, first: LogIndex(first), last: LogIndex(first), bytes_max: 1 }
    }

    #[test]
    fn what_is_there_comes_back_under_the_id_of_its_job() {
        let fetched = fetcher_of_one_entry().turn(GroupId::MAIN, job(1)).unwrap();

        assert_eq!((fetched.id, fetched.entries.len()), (9, 1));
    }

    #[test]
    fn entries_that_were_replaced_meanwhile_stop_nobody() {
        let fetched = fetcher_of_one_entry().turn(GroupId::MAIN, job(2)).unwrap();

        assert!(fetched.entries.is_empty());
    }

    #[test]
    fn what_cannot_be_read_stops_the_node_and_names_the_file() {
        let mut fetcher = LogFetcher::new(Box::new(Unreadable));

        let stopped = fetcher.turn(GroupId::MAIN, job(1)).err().unwrap();

        assert!(matches!(&stopped, StopCause::Storage(why) if why.contains("0000000001.log")), "{stopped}");
    }
}
