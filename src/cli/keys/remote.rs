//! Keys of a running server, through its admin API.

use serde_json::Value;

use crate::{
    base::secret::Secret,
    egress::{Admin, Request},
};

/// The variable with the admin token.
const TOKEN: &str = "WEIR_ADMIN_TOKEN";

/// Makes a key; gives its secret.
///
/// # Errors
/// What the server says.
pub async fn create(server: &str, wanted: &Value) -> Result<String, String> {
    let made = admin(server)?.ask("/admin/keys", Request::Post(wanted)).await?;
    made["secret"].as_str().map(str::to_owned).ok_or_else(|| format!("{server} answered without a secret"))
}

/// All keys, as the admin API lists them.
///
/// # Errors
/// What the server says.
pub async fn list(server: &str) -> Result<Value, String> {
    admin(server)?.ask("/admin/keys", Request::Get).await
}

/// Revokes a key.
///
/// # Errors
/// What the server says.
pub async fn revoke(server: &str, name: &str) -> Result<(), String> {
    // Of all that a key's name may hold, only the slash means something in a path.
    let path = format!("/admin/keys/{}", name.replace('/', "%2F"));
    admin(server)?.ask(&path, Request::Delete).await.map(drop)
}

fn admin(server: &str) -> Result<Admin, String> {
    let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
    Admin::new(server, token.map(Secret::new))
}
