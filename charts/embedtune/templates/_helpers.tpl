{{/* Name of the installation, with which the names of all objects begin. */}}
{{- define "embedtune.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 32 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 32 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "embedtune.starter" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: starter
{{- end -}}

{{- define "embedtune.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{- define "embedtune.runsAccount" -}}
{{ .Values.runs.serviceAccount.name | default (printf "%s-runs" (include "embedtune.fullname" .)) }}
{{- end -}}

{{- define "embedtune.starterAccount" -}}
{{ include "embedtune.fullname" . }}-starter
{{- end -}}

{{/* The compiled pipeline, with the names of this installation's images and Secrets; made once, since it is long. */}}
{{- define "embedtune.pipeline" -}}
{{- if not (hasKey .Values "_pipeline") -}}
{{- $text := .Values.pipeline.compiled | default (.Files.Get (printf "files/finetune-%s.yaml" .Values.pipeline.kind)) -}}
{{- $text = regexReplaceAll `(?m)^( +image: )embedtune/(cpu|gpu):` $text (printf "${1}%s/${2}:" .Values.images.registry) -}}
{{- /* In two passes: a new name may be the old one of another Secret. */ -}}
{{- range $purpose, $_ := .Values.secrets -}}
{{- $text = regexReplaceAll (printf `(?m)^( +(?:secretName|constant): )embedtune-%s$` $purpose) $text (printf "${1}@%s@" $purpose) -}}
{{- end -}}
{{- range $purpose, $name := .Values.secrets -}}
{{- $text = $text | replace (printf ": @%s@" $purpose) (printf ": %s" $name) -}}
{{- end -}}
{{- $_ := set .Values "_pipeline" (printf "%s\n" (trimSuffix "\n" $text)) -}}
{{- end -}}
{{- .Values._pipeline -}}
{{- end -}}

{{/* The name of that version: a hash of its text. */}}
{{- define "embedtune.version" -}}
embedtune-{{ include "embedtune.pipeline" . | sha256sum | trunc 12 }}
{{- end -}}

{{- define "embedtune.pipelineName" -}}
{{- include "embedtune.pipeline" . | regexFind `(?m)^# Name: .+$` | trimPrefix "# Name: " -}}
{{- end -}}

{{/* The image of the pipeline's CPU tasks, which also has the command line. */}}
{{- define "embedtune.image" -}}
{{- $line := include "embedtune.pipeline" . | regexFind `(?m)^ +image: .+/cpu:.+$` -}}
{{- required "pipeline.compiled: no image of it is named …/cpu:TAG, which starts the runs" $line | trim | trimPrefix "image: " -}}
{{- end -}}

{{/* What makes a run: a hash in its name, by which KFP is asked whether it exists. The commit is no part of it. */}}
{{- define "embedtune.key" -}}
{{- $made := dict "pipeline" (include "embedtune.version" .) "parameters" .Values.retrain.parameters "again" (int .Values.retrain.again) -}}
{{- toJson $made | sha256sum | trunc 12 -}}
{{- end -}}

{{/* The name of that run, and of its ConfigMap. */}}
{{- define "embedtune.run" -}}
{{ include "embedtune.fullname" . }}-run-{{ include "embedtune.key" . }}
{{- end -}}

{{- define "embedtune.pipelineConfig" -}}
{{ include "embedtune.fullname" . }}-{{ include "embedtune.version" . | trimPrefix "embedtune-" }}
{{- end -}}

{{/* Not empty if the documents are in an object store, where a listing says which version of them there is. */}}
{{- define "embedtune.listsDocuments" -}}
{{- regexFind `^(s3|minio)://` (dig "documents" "" .Values.retrain.parameters) -}}
{{- end -}}

{{/*
The description of a run: where it comes from. Without a commit, Flux's in the chart's version is taken: 0.1.0+COMMIT.N, whose
N is the generation of its HelmChart.
*/}}
{{- define "embedtune.about" -}}
{{- $commit := .Values.retrain.commit | default (regexReplaceAll `^[^+]*\+?|\.[0-9]+$` .Chart.Version "") -}}
{{- $values := omit .Values "_pipeline" -}}
{{- $_ := set $values "retrain" (omit .Values.retrain "commit") -}}
commit {{ $commit | default "unknown" }}, values {{ toJson $values | sha256sum | trunc 12 }}, images {{ include "embedtune.image" . | splitList ":" | last }}
{{- if include "embedtune.listsDocuments" . }}, documents {documents}{{ end }}
{{- end -}}

{{/* Annotations of what outlives an upgrade: runs refer to the version that they were started from. */}}
{{- define "embedtune.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false
{{- end -}}
