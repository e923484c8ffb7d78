{{- define "gatehouse.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Takes a dict of root and role. */}}
{{- define "gatehouse.roleName" -}}
{{ include "gatehouse.name" .root }}-{{ .role }}
{{- end -}}

{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "gatehouse.commonLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "gatehouse.labels" -}}
{{ include "gatehouse.commonLabels" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{/* Where a role listens: its callers, and its operators. */}}
{{- define "gatehouse.port" -}}{{ if eq .role "issuer" }}9000{{ else }}8080{{ end }}{{- end -}}
{{- define "gatehouse.opsPort" -}}{{ if eq .role "issuer" }}9002{{ else }}8081{{ end }}{{- end -}}

{{/* One configuration file for both roles: each reads its own part, and what they must agree on is there once. */}}
{{- define "gatehouse.config" -}}
{{- $issuer := dict "url" .Values.issuer.url "listen" "0.0.0.0:9000" "opsListen" "0.0.0.0:9002" -}}
{{- $proxy := dict "url" .Values.proxy.url "listen" "0.0.0.0:8080" "opsListen" "0.0.0.0:8081" "upstreams" .Values.proxy.upstreams "drainSeconds" .Values.proxy.drainSeconds -}}
{{- if .Values.proxy.jwksUrl -}}{{- $_ := set $proxy "jwksUrl" .Values.proxy.jwksUrl -}}{{- end -}}
{{- $config := dict "issuer" $issuer "proxy" $proxy "audit" (dict "sink" "redis") -}}
{{- if .Values.tls.existingSecret -}}
{{- $pair := dict "cert" "/run/secrets/gatehouse/tls/tls.crt" "key" "/run/secrets/gatehouse/tls/tls.key" -}}
{{- $_ := set $issuer "tls" $pair -}}
{{- $_ := set $proxy "tls" $pair -}}
{{- end -}}
{{- with .Values.trustedProxies -}}{{- $_ := set $config "trustedProxies" . -}}{{- end -}}
{{- if .Values.ca.existingSecret -}}{{- $_ := set $config "trustedCa" "/run/secrets/gatehouse/ca/ca.crt" -}}{{- end -}}
{{- mergeOverwrite $config (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{/* What would only be found when the pods do not start. */}}
{{- define "gatehouse.check" -}}
{{- if not (or .Values.tls.existingSecret .Values.trustedProxies) -}}
{{- fail "Set tls.existingSecret, or trustedProxies to the addresses of what terminates TLS: without either nothing listens." -}}
{{- end -}}
{{- range $role, $values := dict "issuer" .Values.issuer "proxy" .Values.proxy -}}
{{- if gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas is above maxReplicas" $role) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.proxy.autoscaling.enabled (not (dig "proxy" "maxInFlightPerUpstream" 0 .Values.config)) -}}
{{- fail "proxy.autoscaling: set config.proxy.maxInFlightPerUpstream, to what a model server takes at once divided by proxy.autoscaling.maxReplicas: each proxy counts for itself." -}}
{{- end -}}
{{- with .Values.networkPolicy -}}
{{- if and .enabled $.Values.serviceMonitor.enabled (not .monitoringFrom) -}}
{{- fail "serviceMonitor: set networkPolicy.monitoringFrom to where Prometheus is: the network policy keeps it away otherwise." -}}
{{- end -}}
{{- if and .enabled (not .modelServer.podLabels) (not .modelServer.openToEveryone) -}}
{{- fail "Set networkPolicy.modelServer.podLabels to the labels of the model server's pods, so that only the proxy reaches them, or networkPolicy.modelServer.openToEveryone to true." -}}
{{- end -}}
{{- if and .modelServer.podLabels .modelServer.openToEveryone -}}
{{- fail "networkPolicy.modelServer: podLabels and openToEveryone exclude each other." -}}
{{- end -}}
{{- end -}}
{{- end -}}
