{{/* Where secrets come from. Every entry is a file in /run/secrets/cost-keeper; the service is told by …_FILE. */}}

{{/* What is known of each entry: its key in the configuration (section and name) and its value in `secrets`. */}}
{{- define "bedrock-cost-keeper.secretEntries" -}}
storage-url: {section: storage, key: url, value: storageUrl}
provisioning-keys: {section: auth, key: provisioning_keys, value: provisioningKeys}
jwt-secret: {section: auth, key: jwt_secret, value: jwtSecret}
jwt-private-key: {section: auth, key: jwt_private_key, value: jwtPrivateKey}
jwt-verification-secrets: {section: auth, key: jwt_verification_secrets, value: jwtVerificationSecrets}
jwt-verification-public-keys: {section: auth, key: jwt_verification_public_keys, value: jwtVerificationPublicKeys}
metrics-key: {section: metrics, key: key, value: metricsKey}
{{- end -}}

{{/* Entries that get their value without a mounted Secret: by `config` (another file, AWS Secrets Manager) or `extraEnv`.
A map of entry to what gives it. */}}
{{- define "bedrock-cost-keeper.elsewhere" -}}
{{- $root := . -}}
{{- $names := (fromYaml (include "bedrock-cost-keeper.extraNames" .)).names -}}
{{- $elsewhere := dict -}}
{{- range $entry, $known := fromYaml (include "bedrock-cost-keeper.secretEntries" .) -}}
{{- $section := default dict (get (default dict $root.Values.config) $known.section) -}}
{{- range $suffix := list "" "_file" "_aws_secret_id" -}}
{{- $key := printf "%s%s" $known.key $suffix -}}
{{- if get $section $key -}}
{{- $_ := set $elsewhere $entry (printf "config.%s.%s" $known.section $key) -}}
{{- end -}}
{{- $name := printf "COST_KEEPER_%s__%s" (upper $known.section) (upper $key) -}}
{{- if has $name $names -}}
{{- $_ := set $elsewhere $entry (printf "extraEnv (%s)" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $elsewhere -}}
{{- end -}}

{{/* Values given in `secrets`, as the files' contents by entry. */}}
{{- define "bedrock-cost-keeper.secretValues" -}}
{{- $root := . -}}
{{- $values := dict -}}
{{- range $entry, $known := fromYaml (include "bedrock-cost-keeper.secretEntries" .) -}}
{{- with get $root.Values.secrets $known.value -}}
{{- $_ := set $values $entry (ternary (join "\n" .) . (kindIs "slice" .)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $values -}}
{{- end -}}

{{/* Name of the Secret that is made from values or by the ExternalSecret. */}}
{{- define "bedrock-cost-keeper.ownSecret" -}}
{{- include "bedrock-cost-keeper.fullname" . -}}
{{- end -}}

{{/* Entries that are mounted: a map of entry to the Secret and its key. */}}
{{- define "bedrock-cost-keeper.mounted" -}}
{{- $root := . -}}
{{- $secrets := .Values.secrets -}}
{{- $mounted := dict -}}
{{- range $entry, $_ := fromYaml (include "bedrock-cost-keeper.secretValues" .) -}}
{{- $_ := set $mounted $entry (dict "name" (include "bedrock-cost-keeper.ownSecret" $root) "key" $entry) -}}
{{- end -}}
{{- if .Values.externalSecret.enabled -}}
{{- range .Values.externalSecret.data -}}
{{- $_ := set $mounted .secretKey (dict "name" (include "bedrock-cost-keeper.ownSecret" $root) "key" .secretKey) -}}
{{- end -}}
{{- end -}}
{{- with $secrets.existingSecret -}}
{{- $entries := $secrets.existingSecretKeys -}}
{{- if not $entries -}}
{{- $elsewhere := fromYaml (include "bedrock-cost-keeper.elsewhere" $root) -}}
{{- range list "storage-url" "provisioning-keys" "jwt-secret" -}}
{{- $signs := and (eq . "jwt-secret") (or (hasKey $elsewhere "jwt-private-key") (hasKey $secrets.from "jwt-private-key")) -}}
{{- $other := and (eq . "storage-url") (ne $root.Values.mode "postgresql") -}}
{{- if not (or $signs $other (hasKey $elsewhere .) (hasKey $secrets.from .)) -}}
{{- $entries = append $entries . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $entries -}}
{{- $_ := set $mounted . (dict "name" $secrets.existingSecret "key" .) -}}
{{- end -}}
{{- end -}}
{{- range $entry, $from := $secrets.from -}}
{{- $_ := set $mounted $entry $from -}}
{{- end -}}
{{- toYaml $mounted -}}
{{- end -}}

{{/* The volume with these entries, readable by the group of `fsGroup`: a key that everybody can read is warned of. A
projected volume, so that entries of several Secrets are one directory, and renewed ones appear in it. (entries) */}}
{{- define "bedrock-cost-keeper.secretVolume" -}}
name: secrets
projected:
  defaultMode: 0440
  sources:
    {{- range $entry, $from := . }}
    - secret:
        name: {{ $from.name | quote }}
        items:
          - key: {{ $from.key | quote }}
            path: {{ $entry }}
    {{- end }}
{{- end -}}

{{/* …_FILE of these entries, as a list in `env`. (list $ entries) */}}
{{- define "bedrock-cost-keeper.secretEnv" -}}
{{- $known := fromYaml (include "bedrock-cost-keeper.secretEntries" (index . 0)) -}}
{{- $env := list -}}
{{- range $entry, $_ := index . 1 -}}
{{- $of := get $known $entry -}}
{{- $name := printf "COST_KEEPER_%s__%s_FILE" (upper $of.section) (upper $of.key) -}}
{{- $env = append $env (dict "name" $name "value" (printf "/run/secrets/cost-keeper/%s" $entry)) -}}
{{- end -}}
{{- toYaml (dict "env" $env) -}}
{{- end -}}

{{/* What the service is told of its store and how to reach it, as a list in `env`; its address is an entry with PostgreSQL. */}}
{{- define "bedrock-cost-keeper.storeEnv" -}}
{{- $env := list -}}
{{- if eq .Values.mode "sqlite" -}}
{{- $env = append $env (dict "name" "COST_KEEPER_DATA_DIR" "value" "/data") -}}
{{- else if eq .Values.mode "dynamodb" -}}
{{- $dynamodb := .Values.dynamodb -}}
{{- $url := printf "dynamodb://?table_prefix=%s" $dynamodb.tablePrefix -}}
{{- with $dynamodb.region -}}
{{- $url = printf "%s&region=%s" $url . -}}
{{- end -}}
{{- with $dynamodb.endpoint -}}
{{- $url = printf "%s&endpoint=%s" $url . -}}
{{- end -}}
{{- $env = append $env (dict "name" "COST_KEEPER_STORAGE__URL" "value" $url) -}}
{{- else -}}
{{- with .Values.postgresql.sslMode -}}
{{- $env = append $env (dict "name" "PGSSLMODE" "value" .) -}}
{{- end -}}
{{- if or .Values.postgresql.ca.configMap .Values.postgresql.ca.secret -}}
{{- $env = append $env (dict "name" "PGSSLROOTCERT" "value" "/etc/ssl/postgresql/ca.pem") -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "env" $env) -}}
{{- end -}}

{{/* The volume with the authorities of PostgreSQL, in a list of one or none. */}}
{{- define "bedrock-cost-keeper.caVolume" -}}
{{- $ca := .Values.postgresql.ca -}}
{{- if and (eq .Values.mode "postgresql") (or $ca.configMap $ca.secret) -}}
- name: postgresql-ca
  {{- if $ca.configMap }}
  configMap:
    name: {{ $ca.configMap | quote }}
  {{- else }}
  secret:
    secretName: {{ $ca.secret | quote }}
    defaultMode: 0440
  {{- end }}
    items:
      - key: {{ $ca.key | quote }}
        path: ca.pem
{{- end -}}
{{- end -}}
