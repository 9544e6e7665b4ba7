//! How text is set.

use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, Width, presets,
};
use owo_colors::{OwoColorize as _, Style as Paint};

use crate::text::printable;

/// For a column that is never broken, see [`Style::table`].
pub(crate) const WHOLE: usize = usize::MAX;

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

    pub(crate) fn removed(self, text: &str) -> String {
        self.paint(text, Paint::new().red())
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

    /// What stands for left-out text.
    pub(crate) fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// Whether long ids have to be cut.
    pub(crate) fn is_narrow(self) -> bool {
        self.width.is_some_and(|width| width < 120)
    }

    /// A table in the house style: no frame, no lines; columns are told apart by space. Cells must be [`cell`]s.
    /// The columns in `whole` get at least so much room as is given with them, if their cells need it: what is to be
    /// copied must not be broken.
    pub(crate) fn table(
        self,
        header: &[&str],
        whole: &[(usize, usize)],
        rows: impl IntoIterator<Item = Vec<Cell>>,
    ) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // The caller knows whether there are colours; the table must not look at the terminal.
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(
            header
                .iter()
                .map(|title| Cell::new(title.to_uppercase()).add_attribute(Attribute::Dim)),
        );
        table.add_rows(rows.into_iter().map(Row::from));
        match self.width {
            Some(width) => {
                table
                    .set_content_arrangement(ContentArrangement::Dynamic)
                    .set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let widths = table.column_max_content_widths();
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            let least = whole.iter().find(|(whole, _)| *whole == index);
            if let (Some((_, least)), Some(width)) = (least, widths.get(index)) {
                let least = u16::try_from(*least)
                    .unwrap_or(u16::MAX)
                    .min(*width)
                    .saturating_add(2);
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }
}

/// A cell of text from outside.
pub(crate) fn cell(text: &str) -> Cell {
    Cell::new(printable(text))
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
