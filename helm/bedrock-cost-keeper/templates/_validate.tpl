{{/* What values.schema.json cannot say: what belongs together. Everything that is wrong is told at once, with the way out.
No message repeats the value of a secret. */}}

{{- define "bedrock-cost-keeper.validate" -}}
{{- $errors := concat
  (fromYaml (include "bedrock-cost-keeper.validateStore" .)).errors
  (fromYaml (include "bedrock-cost-keeper.validateConfig" .)).errors
  (fromYaml (include "bedrock-cost-keeper.validateSecrets" .)).errors
  (fromYaml (include "bedrock-cost-keeper.validateTraffic" .)).errors -}}
{{- if $errors -}}
{{- fail (printf "\n\nThese values do not go together:\n  - %s\n" (join "\n  - " $errors)) -}}
{{- end -}}
{{- end -}}

{{- define "bedrock-cost-keeper.validateStore" -}}
{{- $errors := list -}}
{{- $replicas := int (include "bedrock-cost-keeper.replicas" .) -}}
{{- $scaling := .Values.autoscaling -}}
{{- $fewest := ternary (int $scaling.minReplicas) $replicas $scaling.enabled -}}
{{- if eq .Values.mode "sqlite" -}}
{{- if gt $replicas 1 -}}
{{- $errors = append $errors (printf "replicaCount is %d, but mode sqlite has one replica: its database is a file on one volume. For more use mode postgresql or dynamodb" $replicas) -}}
{{- end -}}
{{- if $scaling.enabled -}}
{{- $errors = append $errors "autoscaling.enabled needs mode postgresql or dynamodb: sqlite has one replica" -}}
{{- end -}}
{{- if and .Values.persistence.existingClaim (not .Values.persistence.enabled) -}}
{{- $errors = append $errors "persistence.existingClaim is set but persistence.enabled is false: decide for one" -}}
{{- end -}}
{{- end -}}
{{- if $scaling.enabled -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $errors = append $errors (printf "autoscaling.minReplicas (%d) is more than autoscaling.maxReplicas (%d)" (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if not (or $scaling.targetCPUUtilizationPercentage $scaling.targetMemoryUtilizationPercentage $scaling.metrics) -}}
{{- $errors = append $errors "autoscaling has nothing to scale by: set targetCPUUtilizationPercentage, targetMemoryUtilizationPercentage or metrics" -}}
{{- end -}}
{{- if and $scaling.targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" .Values.resources)) -}}
{{- $errors = append $errors "autoscaling.targetCPUUtilizationPercentage is a share of resources.requests.cpu, which is not set" -}}
{{- end -}}
{{- end -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and $budget.enabled (ne .Values.mode "sqlite") -}}
{{- if not (kindIs "invalid" $budget.minAvailable) -}}
{{- $stay := int64 0 -}}
{{- if kindIs "string" $budget.minAvailable -}}
{{- $stay = div (add (mul (trimSuffix "%" $budget.minAvailable | int) $fewest) 99) 100 -}}
{{- else -}}
{{- $stay = int64 $budget.minAvailable -}}
{{- end -}}
{{- if and (gt $fewest 0) (ge $stay (int64 $fewest)) -}}
{{- $errors = append $errors (printf "podDisruptionBudget.minAvailable (%v) leaves none of %d replicas to evict, so no node with one could ever be drained: lower it, or use maxUnavailable" $budget.minAvailable $fewest) -}}
{{- end -}}
{{- else if kindIs "invalid" $budget.maxUnavailable -}}
{{- $errors = append $errors "podDisruptionBudget has neither minAvailable nor maxUnavailable: set one, or podDisruptionBudget.enabled to false" -}}
{{- else if has (toString $budget.maxUnavailable) (list "0" "0%" "00%") -}}
{{- $errors = append $errors "podDisruptionBudget.maxUnavailable is 0, so no node with a replica could ever be drained: use 1" -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "errors" $errors) -}}
{{- end -}}

{{- define "bedrock-cost-keeper.validateConfig" -}}
{{- $errors := list -}}
{{- $config := default dict .Values.config -}}
{{- $owned := dict
  "server.listen" "use bindAddress and containerPorts.http"
  "metrics.listen" "use metrics.enabled and containerPorts.metrics"
  "data_dir" "it is /data, on the volume of persistence" -}}
{{- range $entry, $known := fromYaml (include "bedrock-cost-keeper.secretEntries" .) -}}
{{- $key := printf "%s.%s" $known.section $known.key -}}
{{- $_ := set $owned $key (printf "config is in a ConfigMap, which is no place for secrets. Use secrets.existingSecret with the key %s, or config.%s_aws_secret_id%s" $entry $key (ternary "; for DynamoDB the values at dynamodb" "" (eq $entry "storage-url"))) -}}
{{- end -}}
{{- range $key, $instead := $owned -}}
{{- $parts := splitList "." $key -}}
{{- $value := get $config (first $parts) -}}
{{- if gt (len $parts) 1 -}}
{{- $value = get (default dict $value) (last $parts) -}}
{{- end -}}
{{- if $value -}}
{{- $errors = append $errors (printf "config.%s is not for this chart: %s" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- $tls := default dict (($config.server).tls) -}}
{{- if and .Values.tls.secretName (or $tls.certificate_file $tls.private_key_file) -}}
{{- $errors = append $errors "tls.secretName and config.server.tls.certificate_file are two ways to say the same: keep one" -}}
{{- end -}}
{{- $drain := int (include "bedrock-cost-keeper.drainSeconds" .) -}}
{{- $grace := int (include "bedrock-cost-keeper.gracePeriodSeconds" .) -}}
{{- if lt $grace (add $drain 10 | int) -}}
{{- $errors = append $errors (printf "terminationGracePeriodSeconds is %d, but config.server.drain_delay_secs and drain_timeout_secs take %d, and committing what is queued up to 10 more: set at least %d, or leave it unset" $grace $drain (add $drain 10)) -}}
{{- end -}}
{{- with dig "limits" "memory" "" .Values.resources -}}
{{- $limit := int64 (include "bedrock-cost-keeper.mebibytes" .) -}}
{{- $needed := int64 (include "bedrock-cost-keeper.neededMebibytes" $) -}}
{{- if lt $limit $needed -}}
{{- $errors = append $errors (printf "resources.limits.memory is %d MiB, but config.server.max_connections with a body of config.server.body_limit_bytes each take up to %d MiB, so the pod could be killed under load: raise the limit, or lower max_connections or body_limit_bytes" $limit $needed) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.postgresql.ca.configMap .Values.postgresql.ca.secret -}}
{{- $errors = append $errors "postgresql.ca.configMap and postgresql.ca.secret are both set: keep one" -}}
{{- end -}}
{{- if and .Values.metrics.enabled (eq (int .Values.containerPorts.http) (int .Values.containerPorts.metrics)) -}}
{{- $errors = append $errors (printf "containerPorts.http and containerPorts.metrics are both %d: they are two listeners" (int .Values.containerPorts.http)) -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- $errors = append $errors "metrics.serviceMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- if and .Values.serviceAccount.annotations (not .Values.serviceAccount.create) -}}
{{- $errors = append $errors "serviceAccount.annotations are for a ServiceAccount that this chart makes, but serviceAccount.create is false: annotate your own instead" -}}
{{- end -}}
{{- toYaml (dict "errors" $errors) -}}
{{- end -}}

{{- define "bedrock-cost-keeper.validateSecrets" -}}
{{- $errors := list -}}
{{- $secrets := .Values.secrets -}}
{{- $external := .Values.externalSecret -}}
{{- $values := fromYaml (include "bedrock-cost-keeper.secretValues" .) -}}
{{- $mounted := fromYaml (include "bedrock-cost-keeper.mounted" .) -}}
{{- $elsewhere := fromYaml (include "bedrock-cost-keeper.elsewhere" .) -}}
{{- $known := fromYaml (include "bedrock-cost-keeper.secretEntries" .) -}}
{{- if and $secrets.existingSecret $values -}}
{{- $errors = append $errors (printf "secrets.existingSecret and values of secrets (for %s) are both set: put them into that Secret, or leave secrets.existingSecret empty" (keys $values | sortAlpha | join ", ")) -}}
{{- end -}}
{{- if and $external.enabled $values -}}
{{- $errors = append $errors (printf "externalSecret.enabled and values of secrets (for %s) are both set, and would make the same Secret: keep one" (keys $values | sortAlpha | join ", ")) -}}
{{- end -}}
{{- if and $external.enabled $secrets.existingSecret -}}
{{- $errors = append $errors "externalSecret.enabled and secrets.existingSecret are both set: keep one" -}}
{{- end -}}
{{- if and $secrets.existingSecretKeys (not $secrets.existingSecret) -}}
{{- $errors = append $errors "secrets.existingSecretKeys says what is in secrets.existingSecret, which is not set" -}}
{{- end -}}
{{- if and $external.enabled (not $external.secretStoreRef.name) -}}
{{- $errors = append $errors "externalSecret.enabled needs externalSecret.secretStoreRef.name" -}}
{{- end -}}
{{- if and $external.enabled (not $external.data) -}}
{{- $errors = append $errors "externalSecret.enabled needs externalSecret.data: {secretKey: jwt-secret, remoteRef: {key: NAME}} for each entry" -}}
{{- end -}}
{{- $single := concat (keys $values) (ternary $secrets.existingSecretKeys list (ne $secrets.existingSecret "")) -}}
{{- range ternary $external.data list $external.enabled -}}
{{- $single = append $single .secretKey -}}
{{- end -}}
{{- range $entry := keys $secrets.from | sortAlpha -}}
{{- if has $entry $single -}}
{{- $errors = append $errors (printf "%s is given in two ways: secrets.from and another Secret" $entry) -}}
{{- end -}}
{{- end -}}
{{- range $entry := keys $mounted | sortAlpha -}}
{{- if hasKey $elsewhere $entry -}}
{{- $errors = append $errors (printf "%s is given in two ways: a mounted Secret and %s" $entry (get $elsewhere $entry)) -}}
{{- end -}}
{{- end -}}
{{- $has := merge dict $mounted $elsewhere -}}
{{- if and (hasKey $has "jwt-secret") (hasKey $has "jwt-private-key") -}}
{{- $errors = append $errors "jwt-secret and jwt-private-key are both given, but one key signs: keep one, and move the other to jwt-verification-secrets or jwt-verification-public-keys" -}}
{{- end -}}
{{- if and (ne .Values.mode "postgresql") (hasKey $has "storage-url") -}}
{{- $errors = append $errors (printf "storage-url is for mode postgresql, and the mode is %s%s" .Values.mode (ternary ": its address is made of the values at dynamodb" ": its database is on the volume" (eq .Values.mode "dynamodb"))) -}}
{{- end -}}
{{- with .Values.migration.storageUrlFrom -}}
{{- if hasKey $elsewhere "storage-url" -}}
{{- $errors = append $errors (printf "migration.storageUrlFrom and %s are two addresses for the migration: keep one" (get $elsewhere "storage-url")) -}}
{{- end -}}
{{- end -}}
{{- with $values -}}
{{- if and (hasKey . "jwt-secret") (lt (len (get . "jwt-secret")) 32) -}}
{{- $errors = append $errors "secrets.jwtSecret is shorter than 32 bytes: make one with openssl rand -hex 32" -}}
{{- end -}}
{{- range $secrets.provisioningKeys -}}
{{- if lt (len .) 16 -}}
{{- $errors = append $errors "an entry of secrets.provisioningKeys is shorter than 16 characters: make one with openssl rand -hex 32" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (ne .Values.mode "sqlite") (not .Values.extraEnvFrom) -}}
{{- $missing := list -}}
{{- if and (eq .Values.mode "postgresql") (not (hasKey $has "storage-url")) -}}
{{- $missing = append $missing "storage-url" -}}
{{- end -}}
{{- if not (hasKey $has "provisioning-keys") -}}
{{- $missing = append $missing "provisioning-keys" -}}
{{- end -}}
{{- if not (or (hasKey $has "jwt-secret") (hasKey $has "jwt-private-key")) -}}
{{- $missing = append $missing "jwt-secret" -}}
{{- end -}}
{{- if $missing -}}
{{- $literals := list -}}
{{- range $missing -}}
{{- $literals = append $literals (ternary "--from-literal=storage-url='postgres://USER:PASSWORD@HOST/DATABASE'" (printf "--from-literal=%s=\"$(openssl rand -hex 32)\"" .) (eq . "storage-url")) -}}
{{- end -}}
{{- $errors = append $errors (printf "mode %s needs secrets that all replicas share, and these have none: %s. Make a Secret and name it in secrets.existingSecret:\n\n      kubectl create secret generic cost-keeper-secrets --namespace %s \\\n        %s\n\n    or use secrets.from, externalSecret, or AWS Secrets Manager (…_aws_secret_id in config). They are not generated: each rendering would make other ones" .Values.mode (join ", " $missing) .Release.Namespace (join " \\\n        " $literals)) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "errors" $errors) -}}
{{- end -}}

{{- define "bedrock-cost-keeper.validateTraffic" -}}
{{- $errors := list -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- $errors = append $errors "ingress.enabled needs ingress.hosts, for example [{host: keeper.example.com}]" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- $errors = append $errors "httpRoute.enabled needs httpRoute.parentRefs, for example [{name: public, namespace: gateways}]" -}}
{{- end -}}
{{- $proxies := or ((.Values.config).server).trusted_proxies (has "COST_KEEPER_SERVER__TRUSTED_PROXIES" (fromYaml (include "bedrock-cost-keeper.extraNames" .)).names) -}}
{{- if and (or .Values.ingress.enabled .Values.httpRoute.enabled) (not $proxies) -}}
{{- $errors = append $errors (printf "%s needs config.server.trusted_proxies: the networks your ingress controller or gateway connects from, for example [10.42.0.0/16]. Without it all clients have the proxy's address, and share its limit of failed logins" (ternary "ingress.enabled" "httpRoute.enabled" .Values.ingress.enabled)) -}}
{{- end -}}
{{- toYaml (dict "errors" $errors) -}}
{{- end -}}
