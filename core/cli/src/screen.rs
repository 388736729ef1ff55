//! Status lines at the bottom of a terminal, which are drawn again and again.

use std::io::{self, Write};

use console::{Term, measure_text_width, truncate_str};

#[cfg(unix)]
use crate::echo::Quiet;
use crate::text::{Shown, dumb_terminal};

/// The block of lines, and how it looks now. Dropping it leaves the lines where they are.
#[derive(Debug)]
pub(crate) struct Screen {
    term: Term,
    /// The width of each line that is on the screen.
    drawn: Vec<usize>,
    lines: Vec<Shown>,
    #[cfg(unix)]
    quiet: Quiet,
}

impl Screen {
    /// No lines yet; `None` if stdout is no terminal that can show them.
    pub(crate) fn begin() -> Option<Self> {
        let term = Term::buffered_stdout();
        (term.is_term() && !dumb_terminal()).then(|| Self {
            term,
            drawn: Vec::new(),
            lines: Vec::new(),
            #[cfg(unix)]
            quiet: Quiet::begin(),
        })
    }

    /// Shows these lines instead of those before.
    pub(crate) fn draw(&mut self, lines: Vec<Shown>) -> io::Result<()> {
        #[cfg(unix)]
        self.quiet.hold();
        self.lines = lines;
        self.erase()?;
        self.show()
    }

    /// Writes something else above the lines.
    pub(crate) fn above<T>(&mut self, write: impl FnOnce() -> T) -> io::Result<T> {
        self.erase().and_then(|()| self.term.flush())?;
        let written = write();
        self.show()?;
        Ok(written)
    }

    /// Takes the lines away.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.erase()?;
        self.term.flush()
    }

    /// The cursor is below the lines. Terminals wrap them anew when they are made narrower.
    fn erase(&mut self) -> io::Result<()> {
        let (_, columns) = self.size();
        let rows: usize = self.drawn.iter().map(|width| rows(*width, columns)).sum();
        self.drawn.clear();
        // Row by row: tmux keeps what is cleared to the end of the screen.
        self.term.clear_last_lines(rows)
    }

    fn show(&mut self) -> io::Result<()> {
        let (rows, columns) = self.size();
        // One row is for the cursor, and one shows the last message.
        for line in fitting(&self.lines, rows.saturating_sub(2)) {
            // A line that reaches the margin is continued on the next row by some terminals.
            let text = truncate_str(line.as_str(), columns.saturating_sub(1), "");
            self.drawn.push(measure_text_width(&text));
            writeln!(self.term, "{text}")?;
        }
        self.term.flush()
    }

    fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size();
        (rows.into(), columns.into())
    }
}

/// How many rows a line takes.
fn rows(width: usize, columns: usize) -> usize {
    width.div_ceil(columns.max(1)).max(1)
}

/// As many lines as there are rows, at least one; the last one tells how many more there are.
fn fitting(lines: &[Shown], rows: usize) -> Vec<Shown> {
    let rows = rows.max(1);
    if lines.len() <= rows {
        return lines.to_vec();
    }
    let shown = rows - 1;
    let mut fitting = lines[..shown].to_vec();
    fitting.push(match shown {
        0 => format!("{} ports", lines.len()).into(),
        _ => format!("and {} more", lines.len() - shown).into(),
    });
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<Shown> {
        (0..count).map(|number| Shown::from(number.to_string())).collect()
    }

    #[test]
    fn a_line_that_is_wider_than_the_terminal_takes_more_rows() {
        assert_eq!(
            [(0, 80), (79, 80), (80, 80), (81, 80), (79, 20), (5, 0)].map(|(w, c)| rows(w, c)),
            [1, 1, 1, 2, 4, 5]
        );
    }

    #[test]
    fn more_lines_than_rows_end_with_how_many_more_there_are() {
        let texts = |count, rows| -> Vec<String> {
            fitting(&lines(count), rows).iter().map(|line| line.as_str().to_owned()).collect()
        };
        assert_eq!(texts(3, 3), ["0", "1", "2"]);
        assert_eq!(texts(4, 3), ["0", "1", "and 2 more"]);
        assert_eq!(texts(3, 1), ["3 ports"]);
        assert_eq!(texts(3, 0), ["3 ports"]);
        assert_eq!(texts(1, 0), ["0"]);
    }
}
