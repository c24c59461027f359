//! Room for layers: made before a step needs it, and more of it where a step found the volume full.

use std::path::Path;

use slipway_store::{Collected, Need, Room, Store};

use crate::engine::Cause;
use crate::event::{Event, Events};
use crate::size;

/// What the C library says of a full disk and of a quota that is used up; as the last words of our own errors, with the number.
const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
const NUMBERS: [&str; 2] = ["(os error 28)", "(os error 122)"];

/// Makes room before a build needs it, and removes what a killed one left. What goes wrong is only noted: there may be room enough.
pub fn make_room(store: &Store, events: &Events) {
    if let Err(error) = store.sweep_flights() {
        tracing::debug!(%error, "cannot sweep");
    }
    match store.make_room(Need::Reserve) {
        Ok(Some(collected)) => tell(&collected, "to have room for this build", events),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "cannot make room"),
    }
}

/// Makes more room after something did not fit. Tells whether there is a point in trying again.
pub(crate) fn make_more(store: &Store, need: Need, events: &Events) -> bool {
    match store.make_room(need) {
        Ok(Some(collected)) => {
            tell(&collected, "since the disk was full; trying again", events);
            collected.bytes > 0
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%error, "cannot make room");
            false
        }
    }
}

fn tell(collected: &Collected, why: &str, events: &Events) {
    if collected.bytes > 0 {
        let text = format!("removed {} of old cache {why}", size::bytes(collected.bytes));
        events.event(Event::Note { text });
    }
}

/// Tells whether an error's text is about a full disk.
pub(crate) fn is_full(text: &str) -> bool {
    NUMBERS.iter().any(|number| text.contains(number))
}

/// Looks at why something failed that wrote to `path` in a store: was the disk full?
pub(crate) fn judge(cause: Cause, path: &Path, store: &Path) -> Cause {
    match cause {
        Cause::Command { exit, tail } => {
            let Ok(room) = Room::at(path) else { return Cause::Command { exit, tail } };
            // A command may have cleaned up after itself, or filled a volume of its own.
            let said = tail.iter().any(|line| FULL.iter().any(|words| line.contains(words)));
            if room.is_exhausted() || (said && room.is_short()) {
                return full(format!("the command ended with {exit}"), store, tail);
            }
            Cause::Command { exit, tail }
        }
        Cause::Instruction(text)
        | Cause::Image(text)
        | Cause::Fetch(text)
        | Cause::Sandbox(text)
        | Cause::Infrastructure(text)
            if is_full(&text) =>
        {
            full(text, store, vec![])
        }
        other => other,
    }
}

/// Says more of an error, where it is about a full disk: for errors that stopped a build before its first step.
pub fn explained(text: String, store: &Path) -> String {
    if is_full(&text) { full(text, store, vec![]).to_string() } else { text }
}

/// Describes a volume that is full.
pub(crate) fn full(why: String, path: &Path, tail: Vec<String>) -> Cause {
    let place = volume_of(path);
    let room = match Room::at(place) {
        Ok(Room { size, free }) => format!(
            "no room is left on the volume of `{}` ({} of {} free)",
            place.display(),
            size::bytes(free),
            size::bytes(size)
        ),
        Err(_) => format!("no room is left for `{}`", place.display()),
    };
    let help = "old cache was removed already where nobody used it: give the volume more room, or keep the cache on a larger one";
    Cause::Full { why, room: format!("{room}; {help}"), tail }
}

/// Returns the deepest directory of a path that is there: what failed may be gone by now.
fn volume_of(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Exit;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let text = "failed to write `x`: No space left on device (os error 28)".to_owned();
        let cause = judge(Cause::Infrastructure(text), Path::new("/"), Path::new("/"));
        assert!(matches!(&cause, Cause::Full { .. }), "{cause}");
        assert!(cause.to_string().contains("volume of `/`"), "{cause}");
        // The root of this machine is not full: what the command says is about something else.
        let tail = vec!["cp: /mnt/x: No space left on device".to_owned()];
        let cause = judge(Cause::Command { exit: Exit::Code(1), tail }, Path::new("/"), Path::new("/"));
        assert!(matches!(&cause, Cause::Command { .. }), "{cause}");
        let other =
            judge(Cause::Instruction("not found (os error 2)".into()), Path::new("/"), Path::new("/"));
        assert!(matches!(other, Cause::Instruction(_)));
    }
}
