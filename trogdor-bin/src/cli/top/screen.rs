//! Where a block of lines goes: on a terminal over the one before it, cut to the size of the window; elsewhere
//! after it.

use std::io::IsTerminal as _;

/// The cursor goes home; the rest of a line, or of the screen, is cleared.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// What is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Screen {
    /// A terminal, which shows one block at a time.
    Terminal,
    /// A file or a pipe.
    Blocks { is_first: bool, are_apart: bool },
}

impl Screen {
    /// Standard output; lines for machines are neither cut nor apart.
    pub(super) fn of_stdout(for_machines: bool) -> Screen {
        match std::io::stdout().is_terminal() && !for_machines {
            true => Screen::Terminal,
            false => Screen::Blocks { is_first: true, are_apart: !for_machines },
        }
    }

    /// What is to be written for a block.
    pub(super) fn shown(&mut self, block: &str) -> String {
        match self {
            Screen::Terminal => on_terminal(block, size()),
            Screen::Blocks { is_first, are_apart } => {
                let before = if std::mem::replace(is_first, false) || !*are_apart { "" } else { "\n" };
                format!("{before}{block}")
            }
        }
    }
}

fn on_terminal(block: &str, (columns, rows): (usize, usize)) -> String {
    let mut text = HOME.to_owned();
    // The last line stays free, so that nothing scrolls.
    for line in block.lines().take(rows.saturating_sub(1)) {
        text.extend(line.chars().take(columns));
        text += CLEAR_LINE;
        text.push('\n');
    }
    text + CLEAR_REST
}

/// Columns and rows of the window.
fn size() -> (usize, usize) {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let told = told.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    told.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_what_fits_and_clears_what_was_there() {
        let shown = on_terminal("one line\ntwo\nthree\n", (5, 3));
        assert_eq!(shown, "\x1b[Hone l\x1b[K\ntwo\x1b[K\n\x1b[J");
    }

    #[test]
    fn elsewhere_blocks_stand_one_after_another() {
        let mut pipe = Screen::Blocks { is_first: true, are_apart: true };
        assert_eq!((pipe.shown("a\n"), pipe.shown("b\n")), ("a\n".to_owned(), "\nb\n".to_owned()));
        let mut lines = Screen::Blocks { is_first: true, are_apart: false };
        assert_eq!((lines.shown("a\n"), lines.shown("b\n")), ("a\n".to_owned(), "b\n".to_owned()));
    }
}
