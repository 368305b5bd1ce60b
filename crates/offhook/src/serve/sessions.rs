//! Sessions as the HTTP server has them kept: in the store.

use offhook_server::{Answer, KeptSession, SessionShelf, Unavailable};
use offhook_store::{SessionRow, StoreError};

use super::port::Port;

fn refused(error: &StoreError) -> Unavailable {
    tracing::error!(%error, "sessions");
    Unavailable
}

impl SessionShelf for Port {
    fn kept_sessions(&self) -> Answer<'_, Result<Vec<KeptSession>, Unavailable>> {
        let kept = |row: SessionRow| {
            let SessionRow { key, user, stamp, openid, made, began, used } = row;
            KeptSession { key, user, stamp, openid, made, began, used }
        };
        Box::pin(async move {
            let rows = self.store.sessions().await.map_err(|error| refused(&error))?;
            Ok(rows.into_iter().map(kept).collect())
        })
    }

    fn keep_session(&self, session: KeptSession) -> Answer<'_, Result<(), Unavailable>> {
        let KeptSession { key, user, stamp, openid, made, began, used } = session;
        let row = SessionRow { key, user, stamp, openid, made, began, used };
        Box::pin(async move { self.store.put_session(row).await.map_err(|error| refused(&error)) })
    }

    fn forget_sessions(&self, keys: Vec<[u8; 32]>) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.store.remove_sessions(keys).await.map_err(|error| refused(&error)) })
    }
}
