//! From a request to the port and back: what commits and items have in common.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;

use mainstay_base::error::Code;
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Partition, PartitionBy};
use mainstay_base::problem::Problem;
use mainstay_machine::command::{Caller, Commit, Define, Idempotency, Request as Asked};
use mainstay_machine::content::ContentType;
use mainstay_machine::evaluate::check_limits;
use mainstay_machine::outcome::OperationResult;
use mainstay_machine::shards::{self, Answer};
use mainstay_machine::{Command, Outcome};
use serde_json::json;

use crate::answer::Failure;
use crate::collections::missing;
use crate::terms::{Terms, one};
use crate::wire::SampleBody;
use crate::{Api, Settings, body, stamp};

/// A request whose headers were read, and the settings that hold for all of it.
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Api,
    pub(crate) settings: std::sync::Arc<Settings>,
    pub(crate) parts: Parts,
    pub(crate) terms: Terms,
}

/// A commit that happened.
pub(crate) struct Committed {
    pub(crate) answer: Answer,
    pub(crate) results: Vec<OperationResult>,
    pub(crate) headers: HeaderMap,
}

impl<'a> Call<'a> {
    /// Reads the headers; what is left is the body. Errors: those of [`Terms::read`].
    pub(crate) fn new(api: &'a Api, request: Request<Body>) -> Result<(Self, Body), Failure> {
        let (parts, body) = request.into_parts();
        let settings = api.settings.load_full();
        let terms = Terms::read(&parts.headers, &*api.clock, settings.timeout)?;
        Ok((Self { api, settings, parts, terms }, body))
    }

    /// Until tenancy is switched on there is one.
    pub(crate) fn tenant(&self) -> Tenant {
        Tenant::DEFAULT
    }

    /// The body's content type. Errors: [`Code::UnsupportedMediaType`] when there is none, or none that is one.
    pub(crate) fn content_type(&self) -> Result<ContentType, Problem> {
        let refuse =
            |what: String| Problem::new(Code::UnsupportedMediaType, what).fact("header", "Content-Type");
        let sent = one(&self.parts.headers, &CONTENT_TYPE)?;
        let sent = sent.ok_or_else(|| {
            refuse("the content type is missing: send `Content-Type`, such as `application/json`".into())
        })?;
        sent.parse().map_err(|error| refuse(format!("{error}")))
    }

    /// Reads the whole body. Errors: those of [`body::read`].
    pub(crate) async fn read(&self, body: Body) -> Result<Bytes, Problem> {
        let left = self.terms.left(&*self.api.clock);
        body::read(body, &self.settings.body, left).await
    }

    /// The rule of a collection's partitions. Errors: [`Code::NotFound`] when it is not served.
    pub(crate) fn partition_by(&self, collection: &Name) -> Result<PartitionBy, Problem> {
        let (definitions, tenant) = (self.api.shards.definitions(), self.tenant());
        let served = definitions.collection(&tenant, collection);
        let retired = || definitions.get(&tenant, collection);
        served.map(|it| it.partition_by).ok_or_else(|| missing(collection, retired()))
    }

    /// Changes a definition, and answers when all shards have it or time is up. Errors: as [`Call::commit`].
    pub(crate) async fn define(&self, define: Define) -> Result<Committed, Failure> {
        let command = self.command(define.partition(), Asked::Define(define));
        committed(self.api.shards.define(command, self.terms.deadline).await)
    }

    /// What a change of a definition would come to, what items that are there would be, and what that was read from. Errors: as
    /// [`Call::commit`].
    pub(crate) async fn rehearse(
        &self,
        define: Define,
    ) -> Result<(Vec<OperationResult>, Option<SampleBody>, HeaderMap), Failure> {
        let command = self.command(define.partition(), Asked::Define(define));
        let read = self.api.shards.rehearse(command, self.terms.deadline).await;
        let reading = read.map_err(failed)?;
        let headers = stamp::of_reading(&reading);
        let sample = reading.value.sample.map(SampleBody::from);
        match reading.value.outcome {
            Outcome::Committed(results) => Ok((results, sample, headers)),
            Outcome::Refused(refusal) => {
                let problem = Problem::from(*refusal);
                let problem = match sample {
                    Some(sample) => problem.fact("sample", json!(sample)),
                    None => problem,
                };
                Err(Failure::from(problem).headers(headers))
            }
        }
    }

    fn command(&self, partition: Partition<'static>, request: Asked) -> Command {
        let (tenant, caller) = (self.tenant(), Caller::ANONYMOUS);
        let idempotency = self.terms.idempotency.as_ref();
        let idempotency =
            idempotency.map(|key| Idempotency::new(key, &tenant, &caller, &partition, &request));
        Command { tenant, caller, partition, idempotency, trace: self.terms.trace, request }
    }

    /// Commits, and answers when the outcome is durable.
    ///
    /// Errors: every refusal and every error of the port as its problem, that of a refusal with the answer's headers.
    pub(crate) async fn commit(
        &self,
        partition: Partition<'static>,
        commit: Commit,
    ) -> Result<Committed, Failure> {
        let command = self.command(partition, Asked::Commit(commit));
        check_limits(&command, &self.settings.machine.limits).map_err(|refusal| Problem::from(*refusal))?;
        committed(self.api.shards.submit(command, self.terms.deadline).await)
    }
}

fn committed(answer: Result<Answer, shards::Error>) -> Result<Committed, Failure> {
    let mut answer = answer.map_err(failed)?;
    let headers = stamp::of_answer(&answer);
    match std::mem::replace(&mut answer.outcome, Outcome::Committed(Vec::new())) {
        Outcome::Committed(results) => Ok(Committed { answer, results, headers }),
        Outcome::Refused(refusal) => Err(Failure::from(Problem::from(*refusal)).headers(headers)),
    }
}

/// The problem of a command or a reading that has no answer.
pub(crate) fn failed(error: shards::Error) -> Problem {
    match error {
        shards::Error::Refused(refusal) => (*refusal).into(),
        error => Problem::of(&error),
    }
}

/// The problem of a body that has another content type than the one that is taken.
pub(crate) fn wrong_type(sent: &str, accepted: &'static str) -> Failure {
    let detail = format!("`{sent}` is not taken here: send `Content-Type: {accepted}`");
    Problem::new(Code::UnsupportedMediaType, detail).fact("accepted", vec![accepted]).into()
}
