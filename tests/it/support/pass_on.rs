//! The traits of a store that a decorator only passes on to the store in its field `inner`.

/// Implements traits of the storage contract by passing every call on.
macro_rules! pass_on {
    ($decorator:ty => $($aggregate:ident)+) => { $(pass_on!(@$aggregate $decorator);)+ };

    (@Tenants $decorator:ty) => {
        #[async_trait::async_trait]
        impl bedrock_cost_keeper::storage::Tenants for $decorator {
            async fn create_org(&self, org: &Org, client: &NewClient) -> Result<()> {
                self.inner.create_org(org, client).await
            }

            async fn update_org(&self, org: &Org, expected_version: u64) -> Result<()> {
                self.inner.update_org(org, expected_version).await
            }

            async fn delete_org(&self, org_id: OrgId) -> Result<bool> {
                self.inner.delete_org(org_id).await
            }

            async fn list_orgs(&self, after: Option<OrgId>, limit: u32) -> Result<Vec<Org>> {
                self.inner.list_orgs(after, limit).await
            }

            async fn create_app(&self, app: &App, client: &NewClient) -> Result<()> {
                self.inner.create_app(app, client).await
            }

            async fn update_app(&self, app: &App, expected_version: u64) -> Result<()> {
                self.inner.update_app(app, expected_version).await
            }

            async fn delete_app(&self, org_id: OrgId, app_id: &AppId) -> Result<bool> {
                self.inner.delete_app(org_id, app_id).await
            }

            async fn list_apps(&self, org_id: OrgId, after: Option<&AppId>, limit: u32) -> Result<Vec<App>> {
                self.inner.list_apps(org_id, after, limit).await
            }

            async fn tenant(&self, scope: &Scope) -> Result<Option<Tenant>> {
                self.inner.tenant(scope).await
            }
        }
    };

    (@Profiles $decorator:ty) => {
        #[async_trait::async_trait]
        impl bedrock_cost_keeper::storage::Profiles for $decorator {
            async fn create_profile(&self, profile: &InferenceProfile, max: u32) -> Result<ProfileCreation> {
                self.inner.create_profile(profile, max).await
            }

            async fn profiles(&self, org_id: OrgId, app_id: &AppId) -> Result<Vec<InferenceProfile>> {
                self.inner.profiles(org_id, app_id).await
            }

            async fn delete_profile(&self, org_id: OrgId, app_id: &AppId, label: &ModelLabel) -> Result<bool> {
                self.inner.delete_profile(org_id, app_id, label).await
            }

            async fn common_profiles(&self, org_id: OrgId) -> Result<BTreeMap<ModelLabel, ProfileArn>> {
                self.inner.common_profiles(org_id).await
            }
        }
    };

    (@Credentials $decorator:ty) => {
        #[async_trait::async_trait]
        impl bedrock_cost_keeper::storage::Credentials for $decorator {
            async fn credential(&self, client_id: &ClientId) -> Result<Option<ClientCredential>> {
                self.inner.credential(client_id).await
            }

            async fn replace_credential(&self, client: &NewClient, expected_version: u64) -> Result<()> {
                self.inner.replace_credential(client, expected_version).await
            }

            async fn set_token_epoch(&self, client_id: &ClientId, epoch: Uuid) -> Result<bool> {
                self.inner.set_token_epoch(client_id, epoch).await
            }

            async fn take_secret(
                &self,
                client_id: &ClientId,
                token_hash: &[u8; 32],
                now: Timestamp,
            ) -> Result<TakenSecret> {
                self.inner.take_secret(client_id, token_hash, now).await
            }

            async fn revoke(&self, revocation: Revocation, expires_at: Timestamp) -> Result<()> {
                self.inner.revoke(revocation, expires_at).await
            }

            async fn token_state(&self, client_id: &ClientId, session: Uuid, token: Uuid) -> Result<TokenState> {
                self.inner.token_state(client_id, session, token).await
            }
        }
    };

    (@Prices $decorator:ty) => {
        #[async_trait::async_trait]
        impl bedrock_cost_keeper::storage::Prices for $decorator {
            async fn prices_fetched_at(&self) -> Result<Option<Timestamp>> {
                self.inner.prices_fetched_at().await
            }

            async fn prices(&self) -> Result<Option<StoredPrices>> {
                self.inner.prices().await
            }

            async fn put_prices(&self, prices: &StoredPrices, replaces: Option<Timestamp>) -> Result<bool> {
                self.inner.put_prices(prices, replaces).await
            }
        }
    };

    (@Consolidation $decorator:ty) => {
        #[async_trait::async_trait]
        impl bedrock_cost_keeper::storage::Consolidation for $decorator {
            fn consolidates(&self) -> bool {
                self.inner.consolidates()
            }

            async fn consolidate(&self, org_id: OrgId, day: Day) -> Result<bool> {
                self.inner.consolidate(org_id, day).await
            }

            async fn unconsolidated(&self, limit: u32) -> Result<Vec<(OrgId, Day)>> {
                self.inner.unconsolidated(limit).await
            }

            async fn consolidation_lease(&self) -> Result<Option<ConsolidationLease>> {
                self.inner.consolidation_lease().await
            }

            async fn lease_consolidation(&self, lease: &ConsolidationLease, now: Timestamp) -> Result<bool> {
                self.inner.lease_consolidation(lease, now).await
            }
        }
    };

    (@AuditTrail $decorator:ty) => {
        #[async_trait::async_trait]
        impl bedrock_cost_keeper::storage::AuditTrail for $decorator {
            async fn append_audit(&self, event: &AuditEvent) -> Result<()> {
                self.inner.append_audit(event).await
            }

            async fn settle_audit(
                &self,
                position: AuditPosition,
                org_id: Option<OrgId>,
                outcome: AuditOutcome,
            ) -> Result<bool> {
                self.inner.settle_audit(position, org_id, outcome).await
            }

            async fn audit_events(
                &self,
                org_id: Option<OrgId>,
                before: Option<AuditPosition>,
                limit: u32,
            ) -> Result<Vec<AuditEvent>> {
                self.inner.audit_events(org_id, before, limit).await
            }
        }
    };

    (@Maintenance $decorator:ty) => {
        #[async_trait::async_trait]
        impl bedrock_cost_keeper::storage::Maintenance for $decorator {
            fn backend(&self) -> &'static str {
                self.inner.backend()
            }

            async fn ping(&self) -> Result<()> {
                self.inner.ping().await
            }

            async fn schema_status(&self) -> Result<SchemaStatus> {
                self.inner.schema_status().await
            }

            async fn migrate(&self) -> Result<u32> {
                self.inner.migrate().await
            }

            async fn purge(&self, retention: &Retention, batch: u32) -> Result<u64> {
                self.inner.purge(retention, batch).await
            }

            async fn close(&self) {
                self.inner.close().await;
            }
        }
    };
}

pub(crate) use pass_on;
