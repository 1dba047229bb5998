//! A page's text, and what it holds. With `GREENROOM_GALLERY` naming a folder, each page is also written there, to be
//! looked at.

use axum::body::to_bytes;
use axum::response::Response;

pub(super) async fn text(name: &str, response: Response) -> String {
    // Says why, where a template does not fit.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    assert_ne!(
        response.status(),
        500,
        "{name} could not be rendered: see the log with --nocapture"
    );
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains("</html>"), "{name} is no page: {text}");
    assert!(
        !text.contains("style=\"") && !text.contains("<script>"),
        "{name} has inline style or script"
    );
    if let Ok(folder) = std::env::var("GREENROOM_GALLERY") {
        std::fs::write(format!("{folder}/{name}.html"), &text).unwrap();
    }
    // The engine escapes more than it must.
    text.replace("&#x2f;", "/")
}

pub(super) fn holds(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
    }
}

pub(super) fn lacks(text: &str, unwanted: &[&str]) {
    for unwanted in unwanted {
        assert!(!text.contains(unwanted), "{unwanted:?} is in:\n{text}");
    }
}
