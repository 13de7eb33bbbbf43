{{/* The object store, for a container that uses the given Secret: (dict "values" .Values "secret" NAME). */}}
{{- define "triton.storageEnvironment" -}}
{{- $values := .values -}}
- name: EMBEDTUNE_S3_ENDPOINT
  value: {{ required "storage.endpoint: host:port of the object store" $values.storage.endpoint | quote }}
- name: EMBEDTUNE_S3_SECURE
  value: {{ $values.storage.secure | quote }}
{{- with $values.storage.region }}
- name: EMBEDTUNE_S3_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: access-key}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: secret-key}
- name: AWS_SESSION_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: session-token, optional: true}
{{- end }}
{{- if $values.storage.caSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/embedtune/storage-ca/ca.crt
{{- end }}
{{- end -}}

{{/* The object store that the replica follows. */}}
{{- define "triton.storeEnvironment" -}}
{{- if .Values.release.image.reference }}
- name: EMBEDTUNE_RELEASES
  value: image:/image
{{- else }}
- name: EMBEDTUNE_RELEASES
  value: {{ .Values.storage.releases | quote }}
{{ include "triton.storageEnvironment" (dict "values" .Values "secret" .Values.storage.secret) }}
{{- end }}
- name: EMBEDTUNE_TARGET
  value: {{ .Values.target }}
{{- with .Values.release.publicKey }}
- name: EMBEDTUNE_RELEASE_KEY
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* OpenTelemetry's standard variables: (dict "values" .Values "name" NAME) names the service. */}}
{{- define "triton.tracingEnvironment" -}}
{{- $values := .values -}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $values.tracing.endpoint | quote }}
- name: OTEL_SERVICE_NAME
  value: {{ .name }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $values.tracing.share | quote }}
{{- end -}}

{{/*
Asks Triton inside the pod: its HTTP port may listen on loopback only, where kubelet's own probes cannot reach it.
*/}}
{{- define "triton.probe" -}}
{{- $request := printf `exec 3<>/dev/tcp/127.0.0.1/8000; printf "GET /v2/health/%s HTTP/1.0\r\n\r\n" >&3; read -r line <&3; [[ $line == *" 200 "* ]]` . -}}
{{- list "bash" "-c" $request | toJson -}}
{{- end -}}

{{/*
Triton and the follower of the release store: a sidecar (an init container that keeps running), so that it stops after
the gateway. It is ready without a release; whether a release answers is the gateway's readiness.
*/}}
{{- define "triton.serverContainer" -}}
- name: triton
  restartPolicy: Always
  image: {{ include "triton.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python, -m, embedtune.serve.pod, /release]
  args:
    - --canary-seconds={{ .Values.triton.canarySeconds }}
    - --without-store-hours={{ .Values.release.withoutStoreHours }}
    {{- if .Values.release.cache }}
    - --cache=/cache
    {{- end }}
  {{- $open := concat .Values.triton.open (ternary (list "metrics") list .Values.serviceMonitor.enabled) }}
  env:
    - name: EMBEDTUNE_TRITON_OPEN
      value: {{ join "," $open | quote }}
    {{- if .Values.triton.tls.secret }}
    - {name: EMBEDTUNE_TRITON_TLS_CERT, value: /etc/embedtune/triton-tls/tls.crt}
    - {name: EMBEDTUNE_TRITON_TLS_KEY, value: /etc/embedtune/triton-tls/tls.key}
    {{- end }}
    {{- include "triton.storeEnvironment" . | nindent 4 }}
    {{- if .Values.tracing.endpoint }}
    {{- include "triton.tracingEnvironment" (dict "values" .Values "name" (printf "%s-server" (include "triton.fullname" .))) | nindent 4 }}
    {{- end }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  startupProbe:
    exec: {command: {{ include "triton.probe" "ready" }}}
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: {{ div (add .Values.triton.startupSeconds 1) 2 }}
  livenessProbe:
    exec: {command: {{ include "triton.probe" "live" }}}
    periodSeconds: 10
    timeoutSeconds: 10
    failureThreshold: 6
  terminationMessagePolicy: FallbackToLogsOnError
  {{- $resources := deepCopy .Values.triton.resources }}
  {{- if .Values.gpus }}
  {{- $_ := set $resources "limits" (merge (dict "nvidia.com/gpu" .Values.gpus) ($resources.limits | default dict)) }}
  {{- end }}
  resources:
    {{- toYaml $resources | nindent 4 }}
  securityContext:
    {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - {name: release, mountPath: /release}
    {{- if .Values.release.image.reference }}
    - {name: image, mountPath: /image, readOnly: true}
    {{- end }}
    {{- if .Values.release.cache }}
    - {name: cache, mountPath: /cache}
    {{- end }}
    - {name: tmp, mountPath: /tmp}
    - {name: shm, mountPath: /dev/shm}
    {{- if .Values.triton.tls.secret }}
    - {name: triton-tls, mountPath: /etc/embedtune/triton-tls, readOnly: true}
    {{- end }}
    {{- if .Values.storage.caSecret }}
    - {name: storage-ca, mountPath: /etc/embedtune/storage-ca, readOnly: true}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "triton.gatewayContainer" -}}
- name: gateway
  image: {{ include "triton.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python, -m, embedtune.serve.gateway]
  args:
    - --host=0.0.0.0
    - --metrics-port=8081
    - --triton=127.0.0.1:8001
    - --serving=/release
    {{- if .Values.triton.tls.secret }}
    - --triton-ca=/etc/embedtune/triton-ca/ca.crt
    - --triton-name={{ required "triton.tls.name: a host name in the certificate of triton.tls.secret" .Values.triton.tls.name }}
    {{- end }}
    - --model={{ .Values.model }}
    # A pod is removed from the endpoints and gets SIGTERM at the same time: keep answering until all proxies know.
    - --drain={{ .Values.drainSeconds }}
    {{- if .Values.gateway.feedback.place }}
    - --feedback={{ .Values.gateway.feedback.place }}
    - --feedback-days={{ .Values.gateway.feedback.days }}
    - --feedback-max-mb={{ .Values.gateway.feedback.maxMB }}
    - --feedback-folder=/feedback
    {{- if .Values.gateway.feedback.mask }}
    - --feedback-mask=/etc/embedtune/feedback/mask.yaml
    {{- end }}
    {{- end }}
    {{- if .Values.gateway.keysSecret }}
    - --keys=/etc/embedtune/keys/keys
    {{- end }}
    {{- if .Values.gateway.oidc.issuer }}
    - --oidc-issuer={{ .Values.gateway.oidc.issuer }}
    - --oidc-audience={{ required "gateway.oidc.audience: what access tokens must be for; otherwise those for any service would do" .Values.gateway.oidc.audience }}
    - --oidc-name-claim={{ .Values.gateway.oidc.nameClaim }}
    {{- end }}
    {{- if .Values.gateway.tlsSecret }}
    - --tls-cert=/etc/embedtune/tls/tls.crt
    - --tls-key=/etc/embedtune/tls/tls.key
    {{- end }}
    {{- range .Values.gateway.args }}
    - {{ . | quote }}
    {{- end }}
  {{- if or .Values.gateway.apiKeySecret .Values.gateway.feedback.place .Values.tracing.endpoint .Values.extraEnv }}
  env:
    {{- if .Values.tracing.endpoint }}
    {{- include "triton.tracingEnvironment" (dict "values" .Values "name" (include "triton.fullname" .)) | nindent 4 }}
    {{- end }}
    {{- if .Values.gateway.feedback.place }}
    {{- $secret := .Values.gateway.feedback.secret | default .Values.storage.secret }}
    {{- include "triton.storageEnvironment" (dict "values" .Values "secret" $secret) | nindent 4 }}
    {{- end }}
    {{- with .Values.gateway.apiKeySecret }}
    - name: EMBEDTUNE_API_KEY
      valueFrom:
        secretKeyRef: {name: {{ . }}, key: api-key}
    {{- end }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  ports:
    - containerPort: 8080
  {{- $https := ternary "" ", scheme: HTTPS" (empty .Values.gateway.tlsSecret) }}
  startupProbe:
    httpGet: {path: /health/live, port: 8080{{ $https }}}
    periodSeconds: 1
    failureThreshold: 120
  readinessProbe:
    httpGet: {path: /health, port: 8080{{ $https }}}
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 3
  livenessProbe:
    httpGet: {path: /health/live, port: 8080{{ $https }}}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  terminationMessagePolicy: FallbackToLogsOnError
  resources:
    {{- toYaml .Values.gateway.resources | nindent 4 }}
  securityContext:
    {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - {name: release, mountPath: /release, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- if .Values.triton.tls.secret }}
    - {name: triton-ca, mountPath: /etc/embedtune/triton-ca, readOnly: true}
    {{- end }}
    {{- if .Values.gateway.keysSecret }}
    - {name: keys, mountPath: /etc/embedtune/keys, readOnly: true}
    {{- end }}
    {{- if .Values.gateway.tlsSecret }}
    - {name: tls, mountPath: /etc/embedtune/tls, readOnly: true}
    {{- end }}
    {{- if .Values.gateway.feedback.place }}
    - {name: feedback, mountPath: /feedback}
    {{- if .Values.gateway.feedback.mask }}
    - {name: feedback-mask, mountPath: /etc/embedtune/feedback, readOnly: true}
    {{- end }}
    {{- if .Values.storage.caSecret }}
    - {name: storage-ca, mountPath: /etc/embedtune/storage-ca, readOnly: true}
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
