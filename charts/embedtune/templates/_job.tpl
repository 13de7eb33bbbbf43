{{/*
The spec of a Job that calls the command line.
Context: root, arguments (a list), config (the ConfigMap of a run, or ""), storage (whether it needs the object store).
*/}}
{{- define "embedtune.job" -}}
{{- $root := .root -}}
{{- with $root.Values -}}
backoffLimit: {{ .jobs.retries }}
# Two pods never ask KFP at the same time whether the run exists.
podReplacementPolicy: Failed
podFailurePolicy:
  rules:
    # A node that was drained or lost is no attempt.
    - action: Ignore
      onPodConditions:
        - {type: DisruptionTarget, status: "True"}
    # A wrong value (2), or a run that failed (3): another attempt would end as this one. A version that the cluster
    # does not have yet is a wrong value too.
    - action: FailJob
      onExitCodes:
        containerName: embedtune
        operator: In
        values: {{ ternary "[3]" "[2, 3]" (eq .pipeline.register "kubernetes") }}
template:
  metadata:
    labels:
      {{- with .jobs.podLabels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- include "embedtune.starter" $root | nindent 6 }}
    {{- with .jobs.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "embedtune.starterAccount" $root }}
    automountServiceAccountToken: false
    enableServiceLinks: false
    {{- with .images.pullSecrets }}
    imagePullSecrets:
      {{- range . }}
      - name: {{ . }}
      {{- end }}
    {{- end }}
    securityContext:
      {{- toYaml .jobs.podSecurityContext | nindent 6 }}
    containers:
      - name: embedtune
        image: {{ include "embedtune.image" $root | quote }}
        imagePullPolicy: {{ .images.pullPolicy }}
        command: [embedtune]
        args:
          {{- toYaml $.arguments | nindent 10 }}
        env:
          - name: KFP_ENDPOINT
            value: {{ required "kfp.endpoint: URL of the KFP API" .kfp.endpoint | quote }}
          {{- if .kfp.multiUser }}
          - name: KFP_TOKEN_FILE
            value: /var/run/secrets/kfp/token
          {{- end }}
          # The name of this Job, for a key that a second pod of it shares.
          - name: JOB_NAME
            valueFrom:
              fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}
          {{- if $.config }}
          # Not in this Job, which cannot be changed and is not replaced when a commit changes something else.
          - name: ABOUT
            valueFrom:
              configMapKeyRef: {name: {{ $.config }}, key: about}
          {{- end }}
          {{- if or $.storage (and $.config (include "embedtune.listsDocuments" $root)) }}
          - name: AWS_ACCESS_KEY_ID
            valueFrom:
              secretKeyRef: {name: {{ .secrets.storage }}, key: access-key, optional: true}
          - name: AWS_SECRET_ACCESS_KEY
            valueFrom:
              secretKeyRef: {name: {{ .secrets.storage }}, key: secret-key, optional: true}
          {{- end }}
          {{- with .jobs.extraEnv }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
        # Why it failed, in the pod's status.
        terminationMessagePolicy: FallbackToLogsOnError
        resources:
          {{- toYaml .jobs.resources | nindent 10 }}
        securityContext:
          {{- toYaml .jobs.containerSecurityContext | nindent 10 }}
        volumeMounts:
          - {name: pipeline, mountPath: /pipeline, readOnly: true}
          {{- if $.config }}
          - {name: config, mountPath: /config, readOnly: true}
          {{- end }}
          - {name: tmp, mountPath: /tmp}
          {{- if .kfp.multiUser }}
          - {name: kfp-token, mountPath: /var/run/secrets/kfp, readOnly: true}
          {{- end }}
          {{- if .kfp.caSecret }}
          - {name: kfp-ca, mountPath: /etc/embedtune/kfp-ca, readOnly: true}
          {{- end }}
    volumes:
      - name: pipeline
        configMap: {name: {{ include "embedtune.pipelineConfig" $root }}}
      {{- if $.config }}
      - name: config
        configMap: {name: {{ $.config }}}
      {{- end }}
      - name: tmp
        emptyDir: {sizeLimit: 256Mi}
      {{- if .kfp.multiUser }}
      - name: kfp-token
        projected:
          sources:
            - serviceAccountToken:
                path: token
                expirationSeconds: 7200
                audience: pipelines.kubeflow.org
      {{- end }}
      {{- with .kfp.caSecret }}
      - name: kfp-ca
        secret: {secretName: {{ . }}}
      {{- end }}
    {{- with .jobs.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .jobs.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end -}}


{{- define "embedtune.commonArguments" -}}
{{- if .Values.kfp.multiUser }}
- --namespace={{ .Release.Namespace }}
{{- end }}
{{- if .Values.kfp.caSecret }}
- --ca-file=/etc/embedtune/kfp-ca/ca.crt
{{- end }}
{{- end -}}

{{/*
A run is started from a version that is there, or from the file, which is then registered: where KFP keeps versions in
Kubernetes, one that the Job created would be in the way of this chart's own.
Context: root, key (of the run).
*/}}
{{- define "embedtune.runArguments" -}}
- pipeline
- run
{{- if eq .root.Values.pipeline.register "kubernetes" }}
- --pipeline={{ include "embedtune.pipelineName" .root }}
- --version={{ include "embedtune.version" .root }}
{{- else }}
- /pipeline/pipeline.yaml
{{- end }}
- --params=/config/params.json
- --once={{ .key }}
- --wait
- --description=$(ABOUT)
- {{ printf "--experiment=%s" .root.Values.kfp.experiment | quote }}
- --service-account={{ include "embedtune.runsAccount" .root }}
{{- include "embedtune.commonArguments" .root }}
{{- end -}}
