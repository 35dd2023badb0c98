//! The one place that says what an error is in HTTP, and what an HTTP answer is as an error. The
//! status stands in the body once more, as `code`, and clients go by that one. Java answers 500 to
//! much that is the client's fault; ours are the statuses that HTTP has for it, in the same body.

use hyper::StatusCode;
use trogdor_core::api::ApiError;
use trogdor_core::json::{Kind, Problems, read_lenient};
use trogdor_core::messages::{ERROR, ErrorResponse};

/// What Java agents and ours say while they exit; there is no status of its own for it.
const SHUT_DOWN: &str = "WorkerManager is shut down.";

/// Longest message that is sent or shown; a conflict quotes a whole spec.
const MESSAGE_LEN: usize = 64 << 10;

/// A request that is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    /// An error of HTTP itself, in the words of the original: `HTTP 404 Not Found`.
    pub(super) fn http(status: StatusCode) -> Refusal {
        Refusal::new(status, format!("HTTP {} {}", status.as_str(), status.canonical_reason().unwrap_or("")))
    }

    pub(super) fn body(&self) -> ErrorResponse {
        ErrorResponse { code: self.status.as_u16(), message: shortened(&self.message, MESSAGE_LEN) }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        let status = match error {
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::InvalidRequest(_) => StatusCode::BAD_REQUEST,
            ApiError::UnknownType(_) => StatusCode::NOT_IMPLEMENTED,
            ApiError::Conflict(_) => StatusCode::CONFLICT,
            // 503 would say it better, but Java clients know the 500.
            ApiError::ShuttingDown(_) | ApiError::Unreachable(_) | ApiError::Failed(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Refusal::new(status, error.to_string())
    }
}

impl From<Problems> for Refusal {
    fn from(problems: Problems) -> Refusal {
        Refusal::from(ApiError::from(problems))
    }
}

/// What an answer outside of 200 to 299 says. `Err` if it is not one that a Trogdor daemon gives,
/// which counts as no answer at all.
pub(super) fn from_answer(status: StatusCode, body: &[u8]) -> Result<ApiError, String> {
    let read = || -> Option<ErrorResponse> {
        let value = read_lenient(body, &Kind::Object(&ERROR)).ok()?;
        serde_json::from_value(value).ok()
    };
    let known = match read() {
        Some(error) if error.code > 0 => error,
        Some(error) => ErrorResponse { code: status.as_u16(), ..error },
        None if body.is_empty() => ErrorResponse { code: status.as_u16(), message: String::new() },
        None => ErrorResponse { code: status.as_u16(), message: plain_sentence(status, body)? },
    };
    let message = match known.message {
        empty if empty.is_empty() => Refusal::http(status).message,
        message => shortened(&message, MESSAGE_LEN),
    };
    Ok(match known.code {
        404 => ApiError::NotFound(message),
        501 => ApiError::UnknownType(message),
        409 => ApiError::Conflict(message),
        // Only ours give the others: repeating the request cannot help.
        400 | 403 | 405 | 413 | 415 => ApiError::InvalidRequest(message),
        _ if message == SHUT_DOWN => ApiError::ShuttingDown(message),
        _ => ApiError::Failed(message),
    })
}

/// Java answers one mistake, a bad `state` filter, with a bare sentence instead of an object.
fn plain_sentence(status: StatusCode, body: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(body).unwrap_or("").trim();
    let is_sentence = !text.is_empty() && !text.starts_with(['<', '{']) && text.lines().count() == 1;
    if status == StatusCode::BAD_REQUEST && is_sentence {
        return Ok(text.to_owned());
    }
    Err(format!("it answered {status} with something that is not a Trogdor daemon's error"))
}

fn shortened(text: &str, limit: usize) -> String {
    match text.len() > limit {
        false => text.to_owned(),
        true => format!("{}…", &text[..text.floor_char_boundary(limit)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<ApiError, String> {
        from_answer(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn errors_survive_the_wire() {
        let text = || "what happened".to_owned();
        let rows = [
            (404, ApiError::NotFound(text())),
            (400, ApiError::InvalidRequest(text())),
            (501, ApiError::UnknownType(text())),
            (409, ApiError::Conflict(text())),
            (500, ApiError::Failed(text())),
            (500, ApiError::ShuttingDown(SHUT_DOWN.to_owned())),
        ];
        for (code, error) in rows {
            let refusal = Refusal::from(error.clone());
            assert_eq!(refusal.status.as_u16(), code);
            let body = trogdor_core::json::to_java_string(&refusal.body());
            assert_eq!(read(code, &body), Ok(error));
        }
    }

    #[test]
    fn the_code_of_the_body_decides() {
        assert_eq!(read(500, r#"{"code":404,"message":"m"}"#), Ok(ApiError::NotFound("m".to_owned())));
        assert_eq!(read(404, r#"{"message":"m","new":1}"#), Ok(ApiError::NotFound("m".to_owned())));
        assert_eq!(read(409, ""), Ok(ApiError::Conflict("HTTP 409 Conflict".to_owned())));
    }

    #[test]
    fn a_bare_sentence_of_java_is_read_and_a_web_page_is_not() {
        let sentence = "State x is invalid. Must be one of [PENDING, RUNNING, STOPPING, DONE]";
        assert_eq!(read(400, sentence), Ok(ApiError::InvalidRequest(sentence.to_owned())));
        assert!(read(400, "<html>no</html>").is_err());
        assert!(read(502, "Bad gateway").is_err());
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let message = Refusal::invalid("é".repeat(MESSAGE_LEN)).body().message;
        assert_eq!(message.len(), MESSAGE_LEN + '…'.len_utf8());
    }
}
