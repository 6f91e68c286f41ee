//! Refusals as gRPC statuses: the only place where they are made.

use proto::keelson::raft::v1 as pb;
use tonic::Status;

use crate::backup::BackupError;
use crate::refused::{Code, Refused};
use crate::shared::ReadError;

fn code(code: Code) -> tonic::Code {
    match code {
        Code::Unknown => tonic::Code::Unknown,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::OutOfRange => tonic::Code::OutOfRange,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DataLoss => tonic::Code::DataLoss,
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        Status::new(code(refused.code()), refused.text())
    }
}

impl From<ReadError> for Status {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refused) => refused.into(),
            ReadError::Io(error) => {
                tracing::error!(error = %crate::report(&error), "a value could not be read");
                Refused::Corrupt.into()
            }
        }
    }
}

impl From<BackupError> for Status {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Read(error) => ReadError::Io(error).into(),
            BackupError::Replaced | BackupError::Gone => Self::unavailable(error.to_string()),
            BackupError::Format(_) => Self::internal(crate::report(&error)),
        }
    }
}

/// Bytes from another member that cannot be right.
pub fn malformed(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// A call for another cluster, another member, or for this cluster as it was before or after a restore.
pub fn misdirected(to: pb::Target, own: pb::Target) -> Status {
    let text = if to.cluster_id != own.cluster_id {
        format!("the call is for cluster {:x}, this is cluster {:x}", to.cluster_id, own.cluster_id)
    } else if to.epoch != own.epoch {
        format!(
            "the call is of epoch {} of cluster {:x}, this member is of epoch {}: one of the two was restored from a \
             snapshot; stop the old members, and start them with empty data folders",
            to.epoch, own.cluster_id, own.epoch
        )
    } else {
        format!("the call is for member {:x}, this is member {:x}", to.member_id, own.member_id)
    };
    Status::failed_precondition(text)
}
