//! How many connections this process may have open.

use super::Failure;
use crate::failure::What;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside connections: standard streams, the runtime's own.
const OTHERS: u64 = 64;

/// Takes as many descriptors as so many connections need, as far as the system allows it.
pub(crate) fn room_for(connections: u64) -> Result<(), Failure> {
    let needed = connections.saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = maximum.is_none_or(|maximum| maximum >= needed)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum }).is_ok();
    if raised {
        return Ok(());
    }
    let allowed = maximum.unwrap_or(u64::MAX);
    Err(Failure::new(
        What::Io,
        format!(
            "{connections} connections need {needed} open files and the system allows {allowed}: see ulimit -Hn"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_the_system_allows_are_an_error_that_names_both_numbers() {
        room_for(1).unwrap();
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let error = room_for(u64::MAX).unwrap_err().to_string();
            assert!(error.contains("ulimit") && error.contains(&u64::MAX.to_string()), "{error}");
        }
    }
}
