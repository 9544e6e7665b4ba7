//! Answers of RDS, taken from the wire as they are.
//!
//! A describe answer is needed as a whole document, members unknown to our SDK version included, so we parse it
//! ourselves. The SDK's own parse would cost more than ours and be thrown away; it is given an empty answer of the
//! operation instead. Errors are left to it, as are signing, endpoints and credentials.
//!
//! Pages of a listing are a chain, each marker in the page before. The marker is found in the raw text, and the next
//! page asked for, while the page is parsed.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use atrest_model::document::str_of;
use atrest_model::keep::Keep;
use atrest_model::scan::ResourceKind;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::error::AwsError;
use crate::inventory::Noting;
use crate::xml::{self, Listed};

/// Most pages of one listing: 10 000 pages of 100 are a million resources in one region, more than any account holds.
const MAX_PAGES: usize = 10_000;
/// Most text of one listing, in bytes: that of half a million DB instances.
const MAX_TEXT: u64 = 4 << 30;

/// Room that is made for an answer before it comes, at most: a page of 100 instances with all their members has not
/// three quarters of it. More comes as it comes.
const PAGE_BYTES: usize = 1 << 20;

/// Pages of one listing that wait for their parse while the next is asked for: bodies are large.
const WAITING: usize = 1;

/// The markers, or tokens, of the pages of one listing. A service that means harm, or is broken, must not make it endless.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashSet<String>);

impl Seen {
    /// Whether the page behind `next` is asked for, or there is none: not behind a marker that was there before, and not
    /// for ever.
    pub(crate) fn goes_on(&mut self, next: Option<&str>) -> bool {
        match next {
            None => true,
            Some(marker) => self.0.len() < MAX_PAGES && self.0.insert(marker.to_owned()),
        }
    }
}

/// A listing: its items and how many calls it took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Items in the order AWS sent them.
    pub items: Vec<Value>,
    /// Calls made.
    pub calls: usize,
}

/// A listing as far as it could be read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// What was read.
    pub listing: Listing,
    /// Why it does not go on; `None` when it is whole.
    pub cut: Option<AwsError>,
}

impl Reading {
    /// The whole listing.
    ///
    /// # Errors
    ///
    /// What ended it before its end.
    pub fn whole(self) -> Result<Listing, AwsError> {
        match self.cut {
            None => Ok(self.listing),
            Some(error) => Err(error),
        }
    }
}

/// Takes the body of a successful answer and leaves an empty answer of the operation in its place.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    operation: &'static str,
    body: Arc<Mutex<Vec<u8>>>,
}

impl Capture {
    pub(crate) fn new(operation: &'static str) -> Self {
        Self {
            operation,
            body: Arc::default(),
        }
    }

    /// The body; what is not UTF-8 in it is replaced, and refused by the parser where it matters.
    pub(crate) fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

#[dyn_dispatch_hint]
impl Intercept for Capture {
    fn name(&self) -> &'static str {
        "take the answer"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if !response.status().is_success() {
            return Ok(());
        }
        let operation = self.operation;
        let mut empty = Some(format!(
            "<{operation}Response><{operation}Result></{operation}Result></{operation}Response>"
        ));
        let length = response
            .headers()
            .get("content-length")
            .and_then(|length| length.parse::<usize>().ok());
        let body = Arc::clone(&self.body);
        if let Some(length) = length {
            body.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .reserve_exact(length.min(PAGE_BYTES));
        }
        let whole = std::mem::replace(response.body_mut(), SdkBody::taken());
        *response.body_mut() = SdkBody::from_body_1_x(whole.map_frame(move |frame| {
            frame.map_data(|bytes| {
                body.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&bytes);
                empty.take().unwrap_or_default().into()
            })
        }));
        Ok(())
    }
}

/// Sends one operation, as often as its bucket finds right, and returns the body of its answer.
macro_rules! body {
    ($self:ident, $operation:literal, $builder:expr) => {{
        let builder = $builder;
        $self
            .bucket
            .call(|| {
                let builder = builder.clone();
                Box::pin(async move {
                    let capture = $crate::answer::Capture::new($operation);
                    builder
                        .customize()
                        .interceptor(capture.clone())
                        .send()
                        .await
                        .map(|_empty| capture.take())
                        .map_err(|error| {
                            $crate::error::AwsError::from_sdk($operation, &$self.region, &error)
                        })
                })
            })
            .await
    }};
}

/// All pages of a listing, or those before the first that fails: a [`Reading`].
macro_rules! pages {
    ($self:ident, $operation:literal, $list:literal, $builder:expr) => {
        $crate::answer::pages!($self, None, $operation, $list, $builder)
    };
    ($self:ident, $kind:expr, $operation:literal, $list:literal, $builder:expr) => {{
        let mut pages =
            $crate::answer::Pages::new($operation, $list, &$self.region, $self.keep.clone());
        if let (Some(kind), Some(noting)) = ($kind, &$self.noting) {
            pages.note(kind, noting);
        }
        loop {
            let answer = $crate::answer::body!(
                $self,
                $operation,
                $builder.clone().set_marker(pages.marker())
            );
            match answer {
                Ok(body) => match pages.add(body).await {
                    Ok(true) => {}
                    Ok(false) => break pages.finish(None).await,
                    Err(error) => break pages.finish(Some(error)).await,
                },
                Err(error) => break pages.finish(Some(error)).await,
            }
        }
    }};
}

pub(crate) use {body, pages};

/// The document of an answer; of what it lists only what is kept.
fn document(
    body: &str,
    operation: &'static str,
    region: &str,
    listed: Listed<'_>,
) -> Result<Value, AwsError> {
    xml::result_document(body, operation, Some(listed))
        .map_err(|error| AwsError::bad_answer(operation, region, &error.to_string()))
}

/// The pages of a listing as they come.
pub(crate) struct Pages {
    operation: &'static str,
    list: &'static str,
    region: String,
    keep: Arc<Keep>,
    marker: Option<String>,
    seen: Seen,
    /// Bytes of all bodies so far.
    text: u64,
    listing: Listing,
    parsing: VecDeque<JoinHandle<Result<Page, AwsError>>>,
    noting: Option<(ResourceKind, Noting)>,
}

/// One page, and the marker that its text seemed to have.
struct Page {
    items: Vec<Value>,
    marker: Option<String>,
    seen: Option<String>,
}

impl Pages {
    pub(crate) fn new(
        operation: &'static str,
        list: &'static str,
        region: &str,
        keep: Arc<Keep>,
    ) -> Self {
        Self {
            operation,
            list,
            region: region.to_owned(),
            keep,
            marker: None,
            seen: Seen::default(),
            text: 0,
            listing: Listing::default(),
            parsing: VecDeque::new(),
            noting: None,
        }
    }

    /// What its items name is told to somebody, page by page.
    pub(crate) fn note(&mut self, kind: ResourceKind, noting: &Noting) {
        self.noting = Some((kind, noting.clone()));
    }

    /// Where the next page begins.
    pub(crate) fn marker(&self) -> Option<String> {
        self.marker.clone()
    }

    /// Takes a page; `true` when another is to be asked for.
    pub(crate) async fn add(&mut self, body: String) -> Result<bool, AwsError> {
        self.listing.calls += 1;
        let next = marker_in(&body);
        self.text += body.len() as u64;
        // A marker that comes back would never end.
        if !self.seen.goes_on(next.as_deref()) || self.text > MAX_TEXT {
            return Err(self.bad_answer("its pages do not end"));
        }
        self.marker.clone_from(&next);
        let more = next.is_some();
        self.parse(body, next);
        while more && self.parsing.len() > WAITING {
            self.take_first().await?;
        }
        Ok(more)
    }

    fn parse(&mut self, body: String, seen: Option<String>) {
        let (operation, list, region) = (self.operation, self.list, self.region.clone());
        let keep = Arc::clone(&self.keep);
        // A few milliseconds, on a thread that is there already: each further thread would keep memory of its own.
        self.parsing.push_back(tokio::spawn(async move {
            let listed = Listed { list, keep: &keep };
            let mut document = document(&body, operation, &region, listed)?;
            drop(body);
            let items = match document.get_mut(list).map(Value::take) {
                Some(Value::Array(mut items)) => {
                    items.shrink_to_fit();
                    items
                }
                _ => Vec::new(),
            };
            let marker = str_of(&document, "Marker").filter(|marker| !marker.is_empty());
            Ok(Page {
                items,
                marker: marker.map(str::to_owned),
                seen,
            })
        }));
    }

    async fn take_first(&mut self) -> Result<(), AwsError> {
        let Some(first) = self.parsing.pop_front() else {
            return Ok(());
        };
        let page = match first.await {
            Ok(page) => page?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_cancelled) => return Err(self.bad_answer("its parse was cancelled")),
        };
        if page.marker != page.seen {
            return Err(self.bad_answer("its marker is not where markers are"));
        }
        if let Some((kind, noting)) = &self.noting {
            noting.items(*kind, &self.region, &page.items);
        }
        self.listing.items.extend(page.items);
        Ok(())
    }

    /// What was read; `cut` says why no page follows. A page that cannot be understood ends the listing before it.
    pub(crate) async fn finish(mut self, mut cut: Option<AwsError>) -> Reading {
        while !self.parsing.is_empty() {
            if let Err(error) = self.take_first().await {
                cut = Some(error);
                break;
            }
        }
        Reading {
            listing: self.listing,
            cut,
        }
    }

    fn bad_answer(&self, why: &str) -> AwsError {
        AwsError::bad_answer(self.operation, &self.region, why)
    }
}

/// The marker in the text of an answer. Text between elements has no `<` in it, so a tag found is an element; whether
/// it is the right one is checked against the parsed page.
fn marker_in(body: &str) -> Option<String> {
    let (_, rest) = body.split_once("<Marker>")?;
    let (text, _) = rest.split_once("</Marker>")?;
    let text = quick_xml::escape::unescape(text).ok()?;
    Some(text.into_owned()).filter(|marker| !marker.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(inside: &str) -> String {
        format!(
            "<DescribeDBInstancesResponse><DescribeDBInstancesResult>{inside}</DescribeDBInstancesResult></DescribeDBInstancesResponse>"
        )
    }

    fn pages() -> Pages {
        Pages::new(
            "DescribeDBInstances",
            "DBInstances",
            "eu-central-1",
            Arc::default(),
        )
    }

    const ONE: &str = "<DBInstances><DBInstance><DBInstanceIdentifier>a</DBInstanceIdentifier></DBInstance></DBInstances>";

    #[tokio::test]
    async fn pages_keep_their_order_and_end_without_a_marker() {
        let mut pages = pages();
        for number in 0..9 {
            let body = page(&format!(
                "<Marker>m&amp;{number}</Marker>{}",
                ONE.replace(">a<", &format!(">{number}<"))
            ));
            assert!(pages.add(body).await.unwrap());
            assert_eq!(pages.marker(), Some(format!("m&{number}")));
        }
        assert!(!pages.add(page(ONE)).await.unwrap());
        let listing = pages.finish(None).await.whole().unwrap();
        assert_eq!(listing.calls, 10);
        let names: Vec<&str> = listing
            .items
            .iter()
            .filter_map(|item| str_of(item, "DBInstanceIdentifier"))
            .collect();
        assert_eq!(names.concat(), "012345678a");
    }

    #[tokio::test]
    async fn a_marker_that_comes_back_or_is_inside_an_item_is_no_answer() {
        let mut same = pages();
        assert!(same.add(page("<Marker>m</Marker>")).await.unwrap());
        let error = same.add(page("<Marker>m</Marker>")).await.unwrap_err();
        assert!(error.message.contains("do not end"), "{error}");

        let mut circle = pages();
        for marker in ["a", "b", "c"] {
            let body = page(&format!("<Marker>{marker}</Marker>"));
            assert!(circle.add(body).await.unwrap());
        }
        let error = circle.add(page("<Marker>a</Marker>")).await.unwrap_err();
        assert!(error.message.contains("do not end"), "{error}");

        let mut inside = pages();
        let body = page(&ONE.replace("</DBInstance>", "<Marker>x</Marker></DBInstance>"));
        assert!(inside.add(body).await.unwrap());
        let error = inside.finish(None).await.whole().unwrap_err();
        assert!(error.message.contains("marker"), "{error}");
    }

    #[tokio::test]
    async fn a_page_that_ends_in_the_middle_is_no_answer() {
        let mut cut = pages();
        let body = page(ONE);
        assert!(!cut.add(body[..body.len() - 9].to_owned()).await.unwrap());
        assert!(cut.finish(None).await.whole().is_err());
    }

    #[tokio::test]
    async fn pages_before_one_that_fails_are_kept_and_the_hole_is_told() {
        let mut pages = pages();
        let more = page(&format!("<Marker>m</Marker>{ONE}"));
        assert!(pages.add(more).await.unwrap());
        let whole = page(ONE);
        assert!(
            !pages
                .add(whole[..whole.len() - 9].to_owned())
                .await
                .unwrap()
        );
        let reading = pages.finish(None).await;
        assert_eq!(reading.listing.items.len(), 1);
        assert!(reading.cut.is_some());
    }

    #[tokio::test]
    async fn only_what_is_asked_for_is_kept_of_an_item() {
        let mut pages = Pages {
            keep: Arc::new(Keep::looked_at()),
            ..pages()
        };
        let body = page(&ONE.replace("</DBInstance>", "<Port>1</Port></DBInstance>"));
        assert!(!pages.add(body).await.unwrap());
        let listing = pages.finish(None).await.whole().unwrap();
        assert_eq!(
            listing.items,
            [serde_json::json!({"DBInstanceIdentifier": "a"})]
        );
    }

    #[test]
    fn an_empty_marker_is_none() {
        assert_eq!(marker_in(&page("<Marker></Marker>")), None);
        assert_eq!(marker_in(&page("<Marker/>")), None);
    }
}
