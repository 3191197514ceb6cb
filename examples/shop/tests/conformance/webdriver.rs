//! A browser under a test's control, by WebDriver (<https://www.w3.org/TR/webdriver2/>): chromedriver and Chromium without a screen.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_lab::clock::{Moment, poll_until};
use mainstay_lab::fetch::{self, Fetched};
use mainstay_lab::process::{Probe, Server, free_port};
use serde_json::{Value, json};

/// Long enough for a browser on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the standard names an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One window.
pub struct Browser {
    driver: Server,
    address: std::net::SocketAddr,
    session: String,
}

impl Browser {
    /// Opens a window of this size. `scripts` says whether pages may run any.
    pub fn open(folder: &Path, (width, height): (u32, u32), scripts: bool) -> Self {
        let address = free_port().expect("a port is free");
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", address.port()));
        let mut driver =
            Server::spawn(command, &folder.join("chromedriver.log")).expect("chromedriver starts");
        driver.wait_ready(&Probe::Http(address, "/status".into()), PATIENCE).expect("it becomes ready");
        let size = format!("--window-size={width},{height}");
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", size, profile],
            "prefs": {"profile.managed_default_content_settings.javascript": if scripts { 1 } else { 2 }},
        });
        let capabilities = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let opened = value(&fetch::post(address, "/session", &capabilities, PATIENCE).expect("an answer"));
        let session = opened["sessionId"].as_str().expect("a session").to_owned();
        Self { driver, address, session }
    }

    /// Loads a page.
    pub fn go(&self, url: &str) {
        self.post("url", &json!({"url": url}));
    }

    /// Clicks the first element that a CSS selector finds, once there is one.
    pub fn click(&self, selector: &str) {
        let element = self.wait_for(selector);
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    /// The value of an attribute of the first such element, once there is one.
    pub fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        let element = self.wait_for(selector);
        self.get(&format!("element/{element}/attribute/{name}")).as_str().map(str::to_owned)
    }

    /// What the first such element says to people.
    pub fn text(&self, selector: &str) -> String {
        let element = self.wait_for(selector);
        self.get(&format!("element/{element}/text")).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page has such an element.
    pub fn wait_for(&self, selector: &str) -> String {
        let find = json!({"using": "css selector", "value": selector});
        let look = || {
            let found = fetch::post(self.address, &self.path("element"), &find, PATIENCE).ok()?;
            let found: Value = serde_json::from_slice(&found.body).ok()?;
            found["value"][ELEMENT].as_str().map(str::to_owned)
        };
        let found = poll_until(Moment::now().plus(PATIENCE), Duration::from_millis(20), look);
        found.unwrap_or_else(|| panic!("there is no {selector} on {}:\n{}", self.url(), self.source()))
    }

    /// How much wider the page is than its window, in pixels.
    pub fn overflow(&self) -> i64 {
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.post("execute/sync", &json!({"script": script, "args": []})).as_i64().expect("a number")
    }

    /// Where the window is.
    pub fn url(&self) -> String {
        self.get("url").as_str().unwrap_or_default().to_owned()
    }

    /// The page as it stands.
    pub fn source(&self) -> String {
        self.get("source").as_str().unwrap_or_default().to_owned()
    }

    /// What is seen, as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        STANDARD.decode(self.get("screenshot").as_str().expect("a picture")).expect("it is base64")
    }

    fn get(&self, what: &str) -> Value {
        value(&fetch::get(self.address, &self.path(what), PATIENCE).expect("an answer"))
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        value(&fetch::post(self.address, &self.path(what), body, PATIENCE).expect("an answer"))
    }

    fn path(&self, what: &str) -> String {
        format!("/session/{}/{what}", self.session)
    }

    /// Closes it. What is left of it is ended with the driver.
    pub fn close(self) {
        let request = http::Request::delete(format!("/session/{}", self.session)).body(bytes::Bytes::new());
        // The driver ends it otherwise.
        let _ = fetch::send(self.address, request.expect("a request"), PATIENCE);
        let _ = self.driver.stop(Duration::from_secs(5));
    }
}

fn value(answer: &Fetched) -> Value {
    let body: Value = serde_json::from_slice(&answer.body).expect("a document");
    assert_eq!(answer.status, 200, "{body}");
    body["value"].clone()
}
