{{/* The pod of the Deployment and of the StatefulSet. */}}

{{/* Settings of every pod of this chart: service, migration, test. */}}
{{- define "bedrock-cost-keeper.podCommon" -}}
# Variables that Kubernetes makes of Services are of no use here, and there may be thousands.
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "bedrock-cost-keeper.containerCommon" -}}
image: {{ include "bedrock-cost-keeper.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{/* A probe of the API with the path it asks. (list $ probe path) */}}
{{- define "bedrock-cost-keeper.probe" -}}
httpGet:
  path: {{ index . 2 }}
  port: http
  {{- if include "bedrock-cost-keeper.tls" (index . 0) }}
  scheme: HTTPS
  {{- end }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A probe whether the process is alive. (list $ probe)

On the listener of the metrics where there is one, which has connections of its own and never TLS: an API whose
connections are all taken is busy, not dead. Killed for that, it would leave its load to the next pod. */}}
{{- define "bedrock-cost-keeper.aliveProbe" -}}
{{- if (index . 0).Values.metrics.enabled -}}
httpGet:
  path: /livez
  port: metrics
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- else -}}
{{- include "bedrock-cost-keeper.probe" (append . "/livez") -}}
{{- end -}}
{{- end -}}

{{/* What of the secrets is read at the start only: a change of these restarts the pods. The others are read again while
the service runs, and a restart would make it forget the keys that were replaced. */}}
{{- define "bedrock-cost-keeper.secretChecksum" -}}
{{- pick (fromYaml (include "bedrock-cost-keeper.secretValues" .)) "storage-url" "metrics-key" | toJson | sha256sum -}}
{{- end -}}

{{- define "bedrock-cost-keeper.serverEnv" -}}
{{- $mounted := fromYaml (include "bedrock-cost-keeper.mounted" .) -}}
{{- $env := list (dict "name" "COST_KEEPER_SERVER__LISTEN" "value" (include "bedrock-cost-keeper.listen" (list .Values.bindAddress .Values.containerPorts.http))) -}}
{{- if .Values.metrics.enabled -}}
{{- $env = append $env (dict "name" "COST_KEEPER_METRICS__LISTEN" "value" (include "bedrock-cost-keeper.listen" (list .Values.bindAddress .Values.containerPorts.metrics))) -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
{{- $env = append $env (dict "name" "COST_KEEPER_SERVER__TLS__CERTIFICATE_FILE" "value" "/run/secrets/cost-keeper-tls/tls.crt") -}}
{{- $env = append $env (dict "name" "COST_KEEPER_SERVER__TLS__PRIVATE_KEY_FILE" "value" "/run/secrets/cost-keeper-tls/tls.key") -}}
{{- end -}}
{{- $env = concat $env (fromYaml (include "bedrock-cost-keeper.storeEnv" .)).env (fromYaml (include "bedrock-cost-keeper.secretEnv" (list . $mounted))).env -}}
{{- include "bedrock-cost-keeper.env" (list . $env) -}}
{{- end -}}

{{- define "bedrock-cost-keeper.podTemplate" -}}
{{- $mounted := fromYaml (include "bedrock-cost-keeper.mounted" .) -}}
metadata:
  labels:
    {{- include "bedrock-cost-keeper.labels" (list . "server" .Values.podLabels) | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: bedrock-cost-keeper
    checksum/config: {{ .Values.config | toJson | sha256sum }}
    checksum/secrets: {{ include "bedrock-cost-keeper.secretChecksum" . }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "bedrock-cost-keeper.podCommon" . | nindent 2 }}
  serviceAccountName: {{ include "bedrock-cost-keeper.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
  terminationGracePeriodSeconds: {{ include "bedrock-cost-keeper.gracePeriodSeconds" . }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and .Values.topologySpreadConstraints (ne .Values.mode "sqlite") }}
  topologySpreadConstraints:
    {{- range .Values.topologySpreadConstraints }}
    - {{ toYaml . | nindent 6 | trim }}
      {{- if not .labelSelector }}
      labelSelector:
        matchLabels:
          {{- include "bedrock-cost-keeper.selectorLabels" (list $ "server") | nindent 10 }}
      {{- end }}
      {{- if and (not .labelSelector) (not .matchLabelKeys) (semverCompare ">=1.27-0" $.Capabilities.KubeVersion.Version) }}
      # Each version of the pods is spread for itself: in an update those that are about to go would count, too.
      matchLabelKeys:
        - pod-template-hash
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: bedrock-cost-keeper
      {{- include "bedrock-cost-keeper.containerCommon" . | nindent 6 }}
      args: ["serve", "--config", "/etc/cost-keeper/cost-keeper.yaml"]
      {{- include "bedrock-cost-keeper.serverEnv" . | nindent 6 }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ .Values.containerPorts.http }}
          protocol: TCP
        {{- if .Values.metrics.enabled }}
        - name: metrics
          containerPort: {{ .Values.containerPorts.metrics }}
          protocol: TCP
        {{- end }}
      startupProbe:
        {{- include "bedrock-cost-keeper.aliveProbe" (list . .Values.startupProbe) | nindent 8 }}
      livenessProbe:
        {{- include "bedrock-cost-keeper.aliveProbe" (list . .Values.livenessProbe) | nindent 8 }}
      readinessProbe:
        {{- include "bedrock-cost-keeper.probe" (list . .Values.readinessProbe "/readyz") | nindent 8 }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: config
          mountPath: /etc/cost-keeper
          readOnly: true
        {{- if $mounted }}
        - name: secrets
          mountPath: /run/secrets/cost-keeper
          readOnly: true
        {{- end }}
        {{- if .Values.tls.secretName }}
        - name: tls
          mountPath: /run/secrets/cost-keeper-tls
          readOnly: true
        {{- end }}
        {{- if include "bedrock-cost-keeper.caVolume" . }}
        - name: postgresql-ca
          mountPath: /etc/ssl/postgresql
          readOnly: true
        {{- end }}
        {{- if eq .Values.mode "sqlite" }}
        - name: data
          mountPath: /data
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "bedrock-cost-keeper.fullname" . }}
    {{- if $mounted }}
    - {{ include "bedrock-cost-keeper.secretVolume" $mounted | nindent 6 | trim }}
    {{- end }}
    {{- if .Values.tls.secretName }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.secretName | quote }}
        defaultMode: 0440
    {{- end }}
    {{- with include "bedrock-cost-keeper.caVolume" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if eq .Values.mode "sqlite" }}
    {{- if .Values.persistence.existingClaim }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim | quote }}
    {{- else if not .Values.persistence.enabled }}
    - name: data
      emptyDir:
        sizeLimit: {{ .Values.persistence.size | quote }}
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
