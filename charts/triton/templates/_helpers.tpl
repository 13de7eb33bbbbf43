{{/* Name of all objects, and deploy.deployment in the configuration: embedtune-triton for a Helm release "embedtune". */}}
{{- define "triton.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "triton.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "triton.commonLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "triton.labels" -}}
{{ include "triton.commonLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{/* How the gateway is asked. */}}
{{- define "triton.scheme" -}}
{{ ternary "http" "https" (empty .Values.gateway.tlsSecret) }}
{{- end -}}

{{- define "triton.image" -}}
{{ printf "%s:%s" .Values.image.repository (required "image.tag: set it to the tag that `make images` printed" .Values.image.tag) | quote }}
{{- end -}}

{{- define "triton.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "triton.fullname" .) }}
{{- end -}}

{{/*
The number of pods in the Deployment. With an autoscaler it is whatever runs now: a field that is left out would be set
to 1 when an upgrade turns the autoscaler on. Without a look at the cluster (helm template, Argo CD) it is left out.
*/}}
{{- define "triton.replicas" -}}
{{- if not .Values.autoscaling.enabled -}}
replicas: {{ .Values.replicas }}
{{- else -}}
{{- $running := lookup "apps/v1" "Deployment" .Release.Namespace (include "triton.fullname" .) | default dict -}}
{{- if hasKey ($running.spec | default dict) "replicas" -}}
replicas: {{ $running.spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The fewest pods of the autoscaler. */}}
{{- define "triton.minReplicas" -}}
{{- $min := .Values.autoscaling.min -}}
{{- if kindIs "invalid" $min }}{{ $min = .Values.replicas }}{{ end -}}
{{- if gt (int $min) (int .Values.autoscaling.max) -}}
{{- fail (printf "autoscaling.max: %d is less than the fewest pods, %d (autoscaling.min, or else replicas)" (int .Values.autoscaling.max) (int $min)) -}}
{{- end -}}
{{- if and (eq (int $min) 0) (not (and (eq .Values.autoscaling.by "keda") .Values.autoscaling.keda.wake)) -}}
{{- fail "autoscaling.min: 0 needs autoscaling.by=keda and autoscaling.keda.wake: without pods nobody counts requests" -}}
{{- end -}}
{{- $min -}}
{{- end -}}

{{/* The metric of the autoscaler: load or cpu. */}}
{{- define "triton.metric" -}}
{{- if ne .Values.autoscaling.metric "auto" -}}
{{- .Values.autoscaling.metric -}}
{{- else if .Capabilities.APIVersions.Has "custom.metrics.k8s.io/v1beta1" -}}
load
{{- else -}}
cpu
{{- end -}}
{{- end -}}

{{/* The egress rules for the object store and for the collector of traces. */}}
{{- define "triton.storageEgress" -}}
{{ include "triton.egress" (dict "endpoint" .Values.storage.endpoint "secure" .Values.storage.secure "named" .Values.networkPolicy.storage) }}
{{- end -}}

{{- define "triton.collectorEgress" -}}
{{- $url := urlParse .Values.tracing.endpoint -}}
{{ include "triton.egress" (dict "endpoint" $url.host "secure" (eq $url.scheme "https") "named" .Values.networkPolicy.collector) }}
{{- end -}}

{{/*
An egress rule: (dict "endpoint" HOST[:PORT] "secure" BOOL "named" PEERS). A policy sees the address and port of the
server's pods, not of a Service.
*/}}
{{- define "triton.egress" -}}
{{- $endpoint := splitList ":" .endpoint -}}
{{- $host := first $endpoint -}}
{{- $port := ternary "443" "80" .secure -}}
{{- if gt (len $endpoint) 1 }}{{ $port = last $endpoint }}{{ end -}}
{{- $named := regexReplaceAll `^[^.]+\.([^.]+)\.svc(\.cluster\.local)?\.?$` $host "${1}" -}}
{{- if .named -}}
- to:
    {{- toYaml .named | nindent 4 }}
{{- else if regexMatch `^[0-9]+(\.[0-9]+){3}$` $host -}}
- ports:
    - {port: {{ $port }}, protocol: TCP}
  to:
    - ipBlock: {cidr: {{ $host }}/32}
{{- else if ne $named $host -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $named }}}}
{{- else -}}
- ports:
    - {port: {{ $port }}, protocol: TCP}
{{- end -}}
{{- end -}}
