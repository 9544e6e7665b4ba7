//! Pages that are one file: no network, nothing but what is written in them, every text from outside escaped.
//!
//! Templates are in `templates/` and checked when this crate is built. A page works without its script, which only
//! filters and sorts. A page is made of parts (a scan, a run, a diff), each with its summary and its sections; with
//! several parts it has a table of contents. The policy in its head names the style and the script by their hashes: nothing else can run, even
//! if an escape were missing.

mod chart;
mod compared;
mod coverage;
mod diff;
mod gantt;
mod plan;
mod policies;
mod report;
mod resources;
mod run;
mod scan;
mod sides;
mod superseded;
mod trend;
mod waivers;

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::sync::LazyLock;

use askama::Template;
use atrest_model::Tool;
use base64::Engine as _;
use jiff::Timestamp;
use sha2::Digest as _;

use crate::text::printable;

pub(crate) use diff::write as diff;
pub(crate) use plan::write as plan;
pub use report::{Report, RunDocument, report_page};
pub use run::run_page;
pub(crate) use scan::write as scan;
pub use trend::History;

const CSS: &str = include_str!("../templates/report.css");
const JS: &str = include_str!("../templates/report.js");

/// What a browser may do with a page.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| {
        let digest = sha2::Sha256::digest(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(CSS),
        hash(JS)
    )
});

/// How something is to be taken; the name of a class of the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Bad,
    Odd,
    Waived,
    Good,
    Plain,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Odd => "odd",
            Self::Waived => "waived",
            Self::Good => "good",
            Self::Plain => "",
        }
    }

    /// The lower, the more alarming.
    fn alarm(self) -> u8 {
        match self {
            Self::Bad => 0,
            Self::Odd => 1,
            Self::Waived => 2,
            Self::Plain => 3,
            Self::Good => 4,
        }
    }

    /// The mood of a number of things, if there are any.
    fn of(self, amount: usize) -> &'static str {
        if amount > 0 { self.class() } else { "" }
    }
}

/// What every page has.
struct Page {
    tool: String,
    /// What kind of report it is.
    kind: &'static str,
    /// Title of the window.
    title: String,
    /// The verdict in one line.
    headline: String,
    /// Of what, and when; a line each.
    details: Vec<String>,
    mood: &'static str,
}

impl Page {
    fn policy(&self) -> &'static str {
        &POLICY
    }

    fn css(&self) -> &'static str {
        CSS
    }

    fn js(&self) -> &'static str {
        JS
    }
}

/// A number that is seen first.
struct Tile {
    value: String,
    label: &'static str,
    mood: &'static str,
}

/// What is seen of a part at first glance.
struct Summary {
    /// What it is called where there are several.
    name: &'static str,
    tiles: Vec<Tile>,
    bar: Vec<chart::Segment>,
    bar_label: String,
}

/// A part of a page that has a title. It escapes what it shows by itself.
struct Section<'a> {
    id: String,
    title: String,
    body: Box<dyn Display + 'a>,
}

impl<'a> Section<'a> {
    fn new(id: &str, title: &str, body: impl Display + 'a) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            body: Box::new(body),
        }
    }
}

/// What a scan, a run or a diff adds to a page.
struct Part<'a> {
    kind: &'static str,
    headline: String,
    detail: String,
    mood: Mood,
    tool: String,
    summary: Summary,
    sections: Vec<Section<'a>>,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Document<'a> {
    page: Page,
    contents: Vec<(String, String)>,
    summaries: Vec<Summary>,
    sections: Vec<Box<dyn Display + 'a>>,
}

/// Writes parts as one page. `verb` names what made it.
fn write_page(parts: Vec<Part<'_>>, verb: &str, out: &mut dyn Write) -> io::Result<()> {
    let headline = match parts.as_slice() {
        [one] => one.headline.clone(),
        many => {
            let headlines: Vec<&str> = many.iter().map(|part| part.headline.as_str()).collect();
            headlines.join(" · ")
        }
    };
    let alone = parts.len() == 1;
    let mood = parts
        .iter()
        .map(|part| part.mood)
        .min_by_key(|mood| mood.alarm());
    let page = Page {
        tool: parts
            .first()
            .map(|part| part.tool.clone())
            .unwrap_or_default(),
        kind: match parts.as_slice() {
            [one] => one.kind,
            _ => "encryption at rest of RDS, as it was saved",
        },
        title: format!("{headline} – {verb}"),
        headline,
        details: parts
            .iter()
            .map(|part| {
                if alone {
                    part.detail.clone()
                } else {
                    format!("{}: {}", part.summary.name, part.detail)
                }
            })
            .collect(),
        mood: mood.unwrap_or(Mood::Odd).class(),
    };
    let (mut contents, mut summaries, mut sections) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        summaries.push(part.summary);
        for section in part.sections {
            contents.push((section.id, section.title));
            sections.push(section.body);
        }
    }
    let document = Document {
        page,
        contents,
        summaries,
        sections,
    };
    render(&document, out)
}

fn tool(tool: &Tool) -> String {
    format!("{} {}", printable(&tool.name), printable(&tool.version))
}

fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Text from outside, made visible. The template escapes it for HTML.
fn shown(text: &str) -> Cow<'_, str> {
    printable(text)
}

fn render(page: &impl Template, out: &mut dyn Write) -> io::Result<()> {
    // A template writes in small pieces.
    let mut out = BufWriter::with_capacity(1 << 16, out);
    Template::write_into(page, &mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_cannot_end_early() {
        for text in [CSS, JS] {
            assert!(!text.contains("</") && !text.contains("<!--"));
        }
    }

    #[test]
    fn the_script_makes_no_html_of_text_and_asks_no_network() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval",
            "fetch",
            "XMLHttpRequest",
            "import(",
            "localStorage",
        ] {
            assert!(!JS.contains(word), "{word}");
        }
        assert!(!CSS.contains("url(") && !CSS.contains("@import"));
    }
}
