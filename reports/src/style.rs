//! How text is set.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use owo_colors::{OwoColorize as _, Style as Paint};

/// Chosen by the caller, who knows where the text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns to fit into; `None` leaves lines as long as they are.
    pub width: Option<u16>,
    /// Whether colours are used. Everything reads the same without.
    pub color: bool,
    /// Whether characters beyond ASCII are used for decoration.
    pub unicode: bool,
}

impl Style {
    fn paint(self, text: &str, paint: Paint) -> String {
        if self.color {
            text.style(paint).to_string()
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint(text, Paint::new().red().bold())
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint(text, Paint::new().green())
    }

    pub(crate) fn odd(self, text: &str) -> String {
        self.paint(text, Paint::new().yellow())
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint(text, Paint::new().dimmed())
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(text, Paint::new().bold())
    }

    /// An empty table in the house style: no frame, no lines; columns are told apart by space.
    pub(crate) fn table<const N: usize>(self, header: [&str; N]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // The caller knows whether there are colours; the table must not look at the terminal.
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(
            header.map(|title| Cell::new(title.to_uppercase()).add_attribute(Attribute::Dim)),
        );
        match self.width {
            Some(width) => table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table
    }
}

/// A cell that is bad.
pub(crate) fn bad(text: impl ToString) -> Cell {
    Cell::new(text)
        .fg(Color::Red)
        .add_attribute(Attribute::Bold)
}

/// A cell that is good.
pub(crate) fn good(text: impl ToString) -> Cell {
    Cell::new(text).fg(Color::Green)
}

/// A cell that is odd.
pub(crate) fn odd(text: impl ToString) -> Cell {
    Cell::new(text).fg(Color::Yellow)
}
