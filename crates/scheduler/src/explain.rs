//! Serves `keelson.scheduler.v1.Explain`: asks the scheduling task, which alone knows.

use daemon::tls::Peer;
use proto::keelson::scheduler::v1::explain_server::Explain;
use proto::keelson::scheduler::v1::{ExplainPodRequest, ExplainPodResponse};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

use crate::pod::PodKey;

/// Questions that wait for the scheduling task.
pub const QUESTIONS_MAX: usize = 64;
/// Who may ask.
const ADMINISTRATORS: &str = "system:masters";

/// A question and where its answer goes.
#[derive(Debug)]
pub struct Question {
    pub pod: PodKey,
    pub answer: oneshot::Sender<Option<ExplainPodResponse>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ExplainService {
    questions: mpsc::Sender<Question>,
}

impl ExplainService {
    pub fn new(questions: mpsc::Sender<Question>) -> Self {
        Self { questions }
    }
}

#[tonic::async_trait]
impl Explain for ExplainService {
    async fn explain_pod(&self, request: Request<ExplainPodRequest>) -> Result<Response<ExplainPodResponse>, Status> {
        let peer = request.extensions().get::<Peer>();
        if !peer.is_some_and(|peer| peer.organizations.iter().any(|group| group == ADMINISTRATORS)) {
            return Err(Status::permission_denied(format!(
                "Explain answers clients with a certificate of the group {ADMINISTRATORS}"
            )));
        }
        let ExplainPodRequest { namespace, name } = request.into_inner();
        let (tx, rx) = oneshot::channel();
        let question = Question { pod: (namespace.clone(), name.clone()), answer: tx };
        let standby = |_| Status::unavailable("the scheduler is ending");
        self.questions.send(question).await.map_err(|_| Status::unavailable("the scheduler is ending"))?;
        let answer = rx.await.map_err(standby)?;
        answer.map(Response::new).ok_or_else(|| Status::not_found(format!("pods \"{namespace}/{name}\" not found")))
    }
}
