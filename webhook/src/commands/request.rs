//! Requests of commands to the API server.

use std::time::Duration;

use anyhow::{Context as _, bail};

/// Time for one request.
const LONGEST: Duration = Duration::from_secs(10);

/// Runs a command that talks to a cluster.
///
/// # Errors
/// Those of the command.
pub fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let done = runtime.block_on(command);
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    done
}

/// The answer to a request, with what it was about where it fails.
///
/// # Errors
/// What the API server says, and what to do about a missing right.
pub async fn answer<T>(verb: &str, what: &str, request: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
    match tokio::time::timeout(LONGEST, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            bail!("cannot {verb} {what}: {}; you need the right to `{verb}` it", status.message)
        }
        Ok(Err(kube::Error::Api(status))) => bail!("cannot {verb} {what}: {}", status.message),
        Ok(Err(error)) => Err(anyhow::Error::from(error).context(format!("cannot {verb} {what}"))),
        Err(_) => bail!("cannot {verb} {what}: the API server did not answer within {} s", LONGEST.as_secs()),
    }
}
