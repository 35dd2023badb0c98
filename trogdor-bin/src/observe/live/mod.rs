//! The live page: everything it needs comes from here, nothing from elsewhere. Its script knows `textContent` and
//! attributes, no markup, and its policy lets it load and ask this server only.

use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use warp::reply::Response;
use warp::{Filter, Rejection, path};

use super::answers::text;

const PAGE: &str = include_str!("page.html");
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// What the page is made of: names below `/live/`, types, texts.
const PARTS: [(&str, &str, &str); 7] = [
    ("uplot.css", CSS, include_str!("../../results/report/vendor/uplot/uPlot.min.css")),
    ("page.css", CSS, include_str!("../../results/report/page.css")),
    ("live.css", CSS, include_str!("live.css")),
    ("uplot.js", JS, include_str!("../../results/report/vendor/uplot/uPlot.iife.min.js")),
    ("text.js", JS, include_str!("../../results/report/text.js")),
    ("charts.js", JS, include_str!("../../results/report/charts.js")),
    ("live.js", JS, include_str!("live.js")),
];

/// Scripts and styles are files of this server, so nothing inline is allowed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its parts.
pub(super) fn routes() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static
{
    let page = warp::path::end().and(warp::get()).map(page);
    let part = path!("live" / String).and(warp::get()).and_then(|name: String| async move { part(&name) });
    page.or(part).unify()
}

fn page() -> Response {
    let mut response = text(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    response
}

fn part(name: &str) -> Result<Response, Rejection> {
    let found = PARTS.iter().find(|(known, ..)| *known == name);
    let (_, content_type, part) = found.ok_or_else(warp::reject::not_found)?;
    Ok(text(StatusCode::OK, content_type, *part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_refers_to_its_parts_and_to_nothing_outside() {
        for (name, ..) in PARTS {
            assert!(PAGE.contains(&format!("\"live/{name}\"")), "{name}");
        }
        assert_eq!(
            PAGE.matches("src=").count() + PAGE.matches("href=").count(),
            PARTS.len() + 1,
            "and an empty icon"
        );
        assert!(!PAGE.contains("//") && !PAGE.contains("style="));
        let script = include_str!("live.js");
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.contains(markup), "{markup}");
        }
    }
}
