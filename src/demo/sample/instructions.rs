//! What to paste.

use secrecy::ExposeSecret;

use super::{CHAT, ORG_ID, Sample, WRITER, chat_client};

/// Reads one string out of a flat JSON answer, with what every shell has.
fn field(name: &str) -> String {
    format!(r#"sed -n 's/.*"{name}":"\([^"]*\)".*/\1/p'"#)
}

impl Sample {
    /// Commands for a shell that show the service on the sample. `key` is how a shell gets the provisioning key.
    #[must_use]
    pub fn instructions(&self, base_url: &str, key: &str) -> String {
        let client = chat_client().map(|client| client.to_string()).unwrap_or_default();
        let ((first, last), label) = (self.days, &self.label);
        let read_token = field("access_token");
        let secret = self.secret(key);
        let docs = browser(base_url, key, &client);
        format!(
            "Sample organization {ORG_ID}, applications {CHAT} and {WRITER}, usage of {first} to {last} (UTC).\n\
             On the last of these days {CHAT} has spent the quota of its first model. Paste in another terminal:\n\
             \n  \
             URL={base_url}\n  \
             ORG=$URL/api/v1/orgs/{ORG_ID}\n  \
             APP=$ORG/apps/{CHAT}\n\
             \n  \
             {secret}\n\
             \n  \
             # a token, good for an hour\n  \
             TOKEN=$(curl -sS \"$URL/auth/token\" -d grant_type=client_credentials \\\n    \
             -d client_id={client} \\\n    \
             --data-urlencode \"client_secret=$SECRET\" | {read_token})\n\
             \n  \
             # which model now?\n  \
             curl -sS -H \"Authorization: Bearer $TOKEN\" \"$APP/model-selection\"; echo\n\
             \n  \
             # report a call; sent again it is a duplicate and counts once\n  \
             curl -sS -X POST -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \"$APP/usage\" \\\n    \
             -d '{{\"request_id\":\"7f3c2a10-5b0e-4c55-9b1a-2f6f5f0c9d11\",\"model_label\":\"{label}\",\"status\":\"OK\",\
             \"usage\":{{\"inputTokens\":1500,\"outputTokens\":800}}}}'; echo\n\
             \n  \
             # spend today, and the sample's week by day and model\n  \
             curl -sS -H \"Authorization: Bearer $TOKEN\" \"$APP/aggregates/today\"; echo\n  \
             curl -sS -H \"Authorization: Bearer $TOKEN\" \"$APP/aggregates?from={first}&to={last}&group_by=day,model\"; echo\n\
             \n  \
             # the whole organization as a table, as administrator\n  \
             curl -sS -H \"X-API-Key: {key}\" \"$ORG/aggregates?from={first}&to={last}&group_by=day,app,model&format=csv\"\n\
             \n{docs}"
        )
    }

    /// How `SECRET` is set: nothing but a hash is kept of it, so it is told only where it was made now.
    fn secret(&self, key: &str) -> String {
        match &self.chat_secret {
            Some(secret) => {
                format!("# client secret of {CHAT}; it is shown this once\n  SECRET='{}'", secret.expose_secret())
            }
            None => format!(
                "# the sample was there already, and secrets are shown once: get {CHAT} a new one\n  \
                 SECRET=$(curl -sS -X POST \"$APP/credentials/rotate\" -H \"X-API-Key: {key}\" \\\n    \
                 -H 'Content-Type: application/json' -d '{{\"secret_delivery\":\"inline\"}}' | {})\n  \
                 echo \"$SECRET\"",
                field("client_secret")
            ),
        }
    }
}

fn browser(base_url: &str, key: &str, client: &str) -> String {
    if !cfg!(feature = "swagger-ui") {
        return format!("In the browser: {base_url}/openapi.json describes the API\n");
    }
    // A person pastes the key itself, so the command that shows it helps more than an expression.
    let show_key = match key.strip_prefix("$(").and_then(|command| command.strip_suffix(')')) {
        Some(command) => format!("what `{command}` prints"),
        None => format!("the value of {key}"),
    };
    format!(
        "In the browser: {base_url}/docs, button Authorize, then Try it out:\n  \
         bearer   client_id {client}\n           \
         and as client_secret what `echo \"$SECRET\"` prints; then you act as {CHAT}\n  \
         api_key  {show_key}; then you act as administrator\n"
    )
}
