{{/* Names, labels and the image: what many objects share. */}}

{{- define "bedrock-cost-keeper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters leave room for what is added: `-headless` here, a hash by the StatefulSet. */}}
{{- define "bedrock-cost-keeper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (default .Chart.Name .Values.nameOverride) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (default .Chart.Name .Values.nameOverride) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that choose pods. They never change: Deployments and StatefulSets refuse that. (list $ component) */}}
{{- define "bedrock-cost-keeper.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "bedrock-cost-keeper.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object; a dict of further ones may follow, which never replace the chart's. (list $ component [dict]) */}}
{{- define "bedrock-cost-keeper.labels" -}}
{{- $root := index . 0 -}}
{{- $labels := fromYaml (include "bedrock-cost-keeper.selectorLabels" (list $root (index . 1))) -}}
{{- $_ := set $labels "app.kubernetes.io/version" (default $root.Chart.AppVersion $root.Values.image.tag | replace "+" "_" | trunc 63 | trimAll "-_.") -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_.") -}}
{{- if gt (len .) 2 -}}
{{- $labels = merge $labels (index . 2) -}}
{{- end -}}
{{- toYaml (merge $labels $root.Values.commonLabels) -}}
{{- end -}}

{{/* `annotations` of an object's metadata, where there are any; dicts further left count more. (list $ [dict]...) */}}
{{- define "bedrock-cost-keeper.annotations" -}}
{{- $root := index . 0 -}}
{{- $annotations := dict -}}
{{- range rest . -}}
{{- $annotations = merge $annotations (default dict .) -}}
{{- end -}}
{{- with merge $annotations $root.Values.commonAnnotations -}}
{{- dict "annotations" . | toYaml | nindent 2 -}}
{{- end -}}
{{- end -}}

{{/* The job that the metrics are scraped as. Each release has its own: alerts add up what one job has, and where two releases
shared it, a healthy one would hide the other. */}}
{{- define "bedrock-cost-keeper.job" -}}
{{- printf "%s/%s/%s" .Chart.Name .Release.Namespace .Release.Name -}}
{{- end -}}

{{- define "bedrock-cost-keeper.image" -}}
{{- $image := .Values.image -}}
{{- $name := $image.repository -}}
{{- if $image.registry -}}
{{- $name = printf "%s/%s" $image.registry $name -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "bedrock-cost-keeper.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "bedrock-cost-keeper.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "bedrock-cost-keeper.replicas" -}}
{{- if kindIs "invalid" .Values.replicaCount -}}
{{- ternary 1 2 (eq .Values.mode "sqlite") -}}
{{- else -}}
{{- int .Values.replicaCount -}}
{{- end -}}
{{- end -}}

{{/* Whether the service itself speaks HTTPS: `true` or nothing. */}}
{{- define "bedrock-cost-keeper.tls" -}}
{{- if or .Values.tls.secretName (((.Values.config).server).tls).certificate_file -}}true{{- end -}}
{{- end -}}

{{- define "bedrock-cost-keeper.listen" -}}
{{- $address := index . 0 -}}
{{- ternary (printf "[%s]" $address) $address (contains ":" $address) }}:{{ int (index . 1) -}}
{{- end -}}

{{/* A number of `config.server`, or the service's own default where it is absent or null. (list $ key default) */}}
{{- define "bedrock-cost-keeper.serverNumber" -}}
{{- $value := get (default dict ((index . 0).Values.config).server) (index . 1) -}}
{{- if kindIs "invalid" $value -}}{{- $value = "" -}}{{- end -}}
{{- $value | toString | default (index . 2) -}}
{{- end -}}

{{/* Seconds from SIGTERM to the end of the last request. */}}
{{- define "bedrock-cost-keeper.drainSeconds" -}}
{{- add (include "bedrock-cost-keeper.serverNumber" (list . "drain_delay_secs" "1") | int) (include "bedrock-cost-keeper.serverNumber" (list . "drain_timeout_secs" "25") | int) -}}
{{- end -}}

{{- define "bedrock-cost-keeper.gracePeriodSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add (include "bedrock-cost-keeper.drainSeconds" .) 10 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{/* Names of the variables that `extraEnv` sets, as a list in `names`. */}}
{{- define "bedrock-cost-keeper.extraNames" -}}
{{- $names := list -}}
{{- range .Values.extraEnv -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- toYaml (dict "names" $names) -}}
{{- end -}}

{{/* An `env` list without what `extraEnv` replaces, and then `extraEnv`: a name given twice is refused by server-side
apply. (list $ env) */}}
{{- define "bedrock-cost-keeper.env" -}}
{{- $root := index . 0 -}}
{{- $replaced := (fromYaml (include "bedrock-cost-keeper.extraNames" $root)).names -}}
{{- $env := list -}}
{{- range index . 1 -}}
{{- if not (has .name $replaced) -}}
{{- $env = append $env . -}}
{{- end -}}
{{- end -}}
{{- with concat $env $root.Values.extraEnv -}}
env:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* A quantity of memory in whole MiB. */}}
{{- define "bedrock-cost-keeper.mebibytes" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9.]+" $text | float64 -}}
{{- $unit := regexFind "[a-zA-Z]+$" $text -}}
{{- $factor := get (dict "" 1.0 "k" 1e3 "Ki" 1024.0 "M" 1e6 "Mi" 1048576.0 "G" 1e9 "Gi" 1073741824.0 "T" 1e12 "Ti" 1099511627776.0) $unit -}}
{{- floor (divf (mulf $number (default 1.0 $factor)) 1048576.0) | int64 -}}
{{- end -}}

{{/* MiB a pod may need: every connection with a full body and 64 KiB, tables of rate limits (90), and the rest (64). */}}
{{- define "bedrock-cost-keeper.neededMebibytes" -}}
{{- $connections := include "bedrock-cost-keeper.serverNumber" (list . "max_connections" "8192") | int64 -}}
{{- $body := include "bedrock-cost-keeper.serverNumber" (list . "body_limit_bytes" "1048576") | float64 -}}
{{- add (floor (divf (mulf $connections (addf $body 65536.0)) 1048576.0) | int64) 154 -}}
{{- end -}}
