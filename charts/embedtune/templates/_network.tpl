{{/*
Egress rules for an address. A policy sees the address and port of pods, not of a Service.
Context: peers (as configured), address (a URL or host:port, or ""), port (if the address has none).
*/}}
{{- define "embedtune.egress" -}}
{{- $authority := regexReplaceAll `^[a-z0-9]+://` .address "" | regexFind `^[^/]*` -}}
{{- $host := regexReplaceAll `:[0-9]+$` $authority "" -}}
{{- $port := regexFind `[0-9]+$` (regexFind `:[0-9]+$` $authority) | default (ternary "80" .port (hasPrefix "http://" .address)) -}}
{{- $namespace := regexReplaceAll `^[^.]+\.([^.]+)\.svc(\.cluster\.local)?\.?$` $host "${1}" -}}
{{- if .peers -}}
- to:
    {{- toYaml .peers | nindent 4 }}
{{- else if not .address -}}
{{- else if regexMatch `^[0-9]+(\.[0-9]+){3}$` $host -}}
- ports:
    - {port: {{ $port }}, protocol: TCP}
  to:
    - ipBlock: {cidr: {{ $host }}/32}
{{- else if ne $namespace $host -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $namespace }}}}
{{- else if not (contains "." $host) -}}
- to:
    - podSelector: {}
{{- else -}}
- ports:
    - {port: {{ $port }}, protocol: TCP}
{{- end -}}
{{- end -}}

{{- define "embedtune.dnsEgress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
  to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
{{- end -}}

{{/* KFP has several Services, on several ports: only a namespace, or peers, tell all of them. */}}
{{- define "embedtune.kfpEgress" -}}
{{- $rule := include "embedtune.egress" (dict "peers" .Values.networkPolicy.kfp "address" .Values.kfp.endpoint "port" "443") -}}
{{- if hasPrefix "- ports" $rule -}}
{{- fail (printf "networkPolicy.kfp: name KFP's pods, since kfp.endpoint=%s names no namespace; or write …NAME.NAMESPACE.svc:PORT" .Values.kfp.endpoint) -}}
{{- end -}}
{{- $rule -}}
{{- end -}}

{{- define "embedtune.storageEgress" -}}
{{- $parameters := .Values.retrain.parameters -}}
{{- $port := ternary "443" "80" (dig "storage_tls" true $parameters) -}}
{{- $address := dig "storage_endpoint" "" $parameters | default "s3.amazonaws.com" -}}
{{- include "embedtune.egress" (dict "peers" .Values.networkPolicy.storage "address" $address "port" $port) -}}
{{- end -}}
