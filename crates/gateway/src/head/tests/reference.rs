//! A strict grammar of RFC 9112 and what is decided beyond it, written for whole streams and without regard to cost: whatever passes, it accepts.

/// Where the heads end; all of `bytes` has to be right heads and bodies, of which the last may be cut where bytes of it pass.
pub(super) fn heads(bytes: &[u8]) -> Result<Vec<usize>, String> {
    let mut ends = Vec::new();
    let mut at = 0;
    let mut is_last = false;
    while at < bytes.len() {
        if is_last {
            return Err(format!("bytes after the last request at {at}"));
        }
        let begin = if bytes[at..].starts_with(b"\r\n") { at + 2 } else { at };
        let end = find(bytes, begin, b"\r\n\r\n").ok_or("a head without its end")?;
        // One character for each byte.
        let text: String = bytes[begin..end].iter().copied().map(char::from).collect();
        let head = head(&text)?;
        at = end + 4;
        ends.push(at);
        is_last = head.is_last;
        at = match head.length {
            Some(length) => bytes.len().min(at.saturating_add(length)),
            None => chunks(bytes, at)?,
        };
    }
    Ok(ends)
}

struct Head {
    /// Of the body; none if it is in chunks.
    length: Option<usize>,
    is_last: bool,
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    (from..bytes.len()).find(|at| bytes[*at..].starts_with(what))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn holds(rule: bool, what: &str) -> Result<(), String> {
    if rule { Ok(()) } else { Err(what.to_owned()) }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<(String, String)>, String> {
    let mut fields = Vec::new();
    for line in lines {
        holds(line.chars().all(|c| c == '\t' || !c.is_ascii_control()), "a control byte")?;
        let (name, value) = line.split_once(':').ok_or("no colon")?;
        holds(is_token(name), "no name")?;
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(fields)
}

fn head(text: &str) -> Result<Head, String> {
    let mut lines = text.split("\r\n");
    let first: Vec<&str> = lines.next().ok_or("nothing")?.split(' ').collect();
    let [method, target, version] = first[..] else { return Err("not three parts".into()) };
    holds(is_token(method) && method.len() <= 32, "a method")?;
    holds(["HTTP/1.0", "HTTP/1.1"].contains(&version), "a version")?;
    holds(target.chars().all(|c| c.is_ascii_graphic() && !"\"<>#".contains(c)), "a target")?;
    let fields = fields(lines)?;
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    };
    let host = all("host");
    holds(host.len() <= 1 && (host.len() == 1 || version == "HTTP/1.0"), "one host")?;
    holds(host.iter().all(|host| is_authority(host)), "a host")?;
    check_target(method, target, host.first().copied())?;
    let options: Vec<String> =
        all("connection").join(",").split(',').map(|option| option.trim().to_ascii_lowercase()).collect();
    holds(options.iter().all(|option| option.is_empty() || is_token(option)), "a list of options")?;
    for framing in ["host", "content-length", "transfer-encoding", "content-type", "authorization", "cookie"]
    {
        holds(!options.iter().any(|option| option == framing), "an option that is relied on")?;
    }
    let has = |option: &str| options.iter().any(|found| found == option);
    holds(all("upgrade").is_empty() || has("upgrade"), "an upgrade alone")?;
    let expect = all("expect");
    holds(
        expect.is_empty() || (expect.len() == 1 && expect[0].eq_ignore_ascii_case("100-continue")),
        "an expectation",
    )?;
    for (name, _) in &fields {
        let hyphens = name.replace('_', "-");
        holds(
            *name == hyphens || !["content-length", "transfer-encoding"].contains(&hyphens.as_str()),
            "an underscore",
        )?;
    }
    let length = length(method, version, &all("content-length"), &all("transfer-encoding"))?;
    Ok(Head { length, is_last: has("close") || (version == "HTTP/1.0" && !has("keep-alive")) })
}

fn length(method: &str, version: &str, lengths: &[&str], codings: &[&str]) -> Result<Option<usize>, String> {
    holds(lengths.len() + codings.len() <= 1, "one framing")?;
    if let [coding] = codings {
        holds(coding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1", "a coding")?;
    }
    let length = match lengths {
        [length] => {
            let number: i64 = length.parse().map_err(|_| "a length")?;
            holds(number.to_string() == *length && number >= 0, "a length in its shortest form")?;
            usize::try_from(number).map_err(|_| "a length")?
        }
        _ => 0,
    };
    holds(method != "TRACE" || (length == 0 && codings.is_empty()), "a TRACE with a body")?;
    Ok(codings.is_empty().then_some(length))
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let is_host = match host.strip_prefix('[') {
        Some(rest) => {
            rest.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        }
        None => !host.is_empty() && is_name(host),
    };
    let is_port =
        |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    is_host && port.is_none_or(is_port)
}

fn check_target(method: &str, target: &str, host: Option<&str>) -> Result<(), String> {
    let path = |path: &str| {
        let path = path.split('?').next().unwrap_or_default();
        holds(!path.contains(['\\', '`', '{', '}']), "a path")
    };
    if method == "CONNECT" {
        return holds(
            is_authority(target) && host.is_none_or(|host| host.eq_ignore_ascii_case(target)),
            "a place",
        );
    }
    if target.starts_with('/') {
        return path(target);
    }
    if target == "*" {
        return holds(method == "OPTIONS", "all of it");
    }
    let (scheme, rest) = target.split_once("://").ok_or("no form")?;
    let port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return Err("a scheme".into()),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    holds(is_authority(&rest[..end]), "an authority")?;
    let full = |text: &str| {
        let text = text.to_ascii_lowercase();
        if text.ends_with(']') || !text.contains(':') { text + port } else { text }
    };
    holds(host.is_none_or(|host| full(host) == full(&rest[..end])), "one place")?;
    path(&rest[end..])
}

fn chunks(bytes: &[u8], mut at: usize) -> Result<usize, String> {
    while at < bytes.len() {
        let end = find(bytes, at, b"\r\n").ok_or("a chunk without its line")?;
        let digits = str::from_utf8(&bytes[at..end]).map_err(|_| "a size")?;
        holds(
            !digits.is_empty() && digits.len() <= 16 && digits.chars().all(|c| c.is_ascii_hexdigit()),
            "a size",
        )?;
        let size =
            usize::try_from(i64::from_str_radix(digits, 16).map_err(|_| "a size")?).map_err(|_| "a size")?;
        at = end + 2;
        if size == 0 {
            let end = find(bytes, end, b"\r\n\r\n").ok_or("trailers without their end")?;
            let text: String = bytes[at..(end + 2).max(at)].iter().copied().map(char::from).collect();
            let names = fields(text.split_terminator("\r\n"))?;
            for forbidden in
                ["host", "content-length", "transfer-encoding", "authorization", "connection", "trailer"]
            {
                holds(!names.iter().any(|(name, _)| name.replace('_', "-") == forbidden), "a trailer")?;
            }
            return Ok(end + 4);
        }
        let end = at.saturating_add(size);
        if end >= bytes.len() {
            return Ok(bytes.len());
        }
        holds(bytes[end..].starts_with(b"\r\n"), "an end of a chunk")?;
        at = end + 2;
    }
    Ok(at)
}
