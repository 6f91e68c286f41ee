//! Messages of containers' states: what of them are Kubernetes' own words, without ids, and not the runtime's.

use serde_json::Value;

/// In place of what the runtime or a library says.
const SAID: &str = "...";

/// The message of a state, with a space before it; nothing where there is none.
pub fn message_of(state: &Value) -> String {
    let (reason, text) = (state["reason"].as_str().unwrap_or_default(), state["message"].as_str().unwrap_or_default());
    if text.is_empty() {
        return String::new();
    }
    let own = match reason {
        // The runtime's alone: that there is a text is all that can be the same.
        "ErrImagePull" | "RunContainerError" | "StartError" => SAID.to_owned(),
        "ImagePullBackOff" => until(text, "ErrImagePull: "),
        "InvalidImageName" => until(text, "couldn't parse image name "),
        _ => text.to_owned(),
    };
    // What a container wrote to two streams, which the fallback to its log shows, has no order.
    let mut lines: Vec<&str> = own.lines().collect();
    lines.sort_unstable();
    format!(" [{}]", without_uids(&lines.join("|")))
}

/// The text up to the mark, which belongs to it; the whole text, where the mark is not there, is told as it is.
fn until(text: &str, mark: &str) -> String {
    match text.find(mark) {
        Some(at) => format!("{}{SAID}", &text[..at + mark.len()]),
        None => text.to_owned(),
    }
}

/// `(UID)` in its recorded form and as it is here becomes `(uid)`.
fn without_uids(text: &str) -> String {
    let mut parts = text.split('(');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((inside, rest)) if is_uid(inside) => out.push_str(&format!("(uid){rest}")),
            _ => out.push_str(&format!("({part}")),
        }
    }
    out
}

fn is_uid(text: &str) -> bool {
    let is_hex = || text.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit());
    text.starts_with("<uid") || (text.len() == 36 && is_hex())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(reason: &str, text: &str, expect: &str) {
        assert_eq!(message_of(&json!({"reason": reason, "message": text})), expect);
    }

    #[test]
    fn ids_and_the_runtimes_words_are_left_out_and_nothing_else() {
        let pods = ["p_ns(<uid1>)", "p_ns(0f8fad5b-d9cb-469f-a165-70867728950e)"];
        for pod in pods {
            let text = format!("back-off 10s restarting failed container=c pod={pod}");
            check("CrashLoopBackOff", &text, " [back-off 10s restarting failed container=c pod=p_ns(uid)]");
        }
        check("Error", "f(x) = (", " [f(x) = (]");
        check("Error", "line2\nline1\n", " [line1|line2]");
        check("ErrImagePull", "dial tcp", " [...]");
        check("ErrImagePull", "", "");
        let text = "Back-off pulling image \"a\": ErrImagePull: dial tcp";
        check("ImagePullBackOff", text, " [Back-off pulling image \"a\": ErrImagePull: ...]");
        check("CreateContainerConfigError", "configmap \"cm\" not found", " [configmap \"cm\" not found]");
    }
}
