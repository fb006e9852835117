#!/usr/bin/env bash
# Runs the end-to-end tests on a kind cluster that is made for them and deleted afterwards.
#   KIND        the program; default: kind
#   KIND_IMAGE  the node image, such as kindest/node:v1.33.4; default: that of kind
#   KIND_LOGS   a folder for the cluster's logs if a test fails
set -euo pipefail
cd "$(dirname "$0")/../../.."
kind=${KIND:-kind}
name=statusguard-e2e-$$
folder=$(mktemp -d)
kubeconfig=$folder/kubeconfig

end() {
    local code=$?
    if [ "$code" -ne 0 ] && [ -n "${KIND_LOGS:-}" ]; then
        "$kind" export logs "$KIND_LOGS" --name "$name" || true
    fi
    "$kind" delete cluster --name "$name" --kubeconfig "$kubeconfig" || true
    rm -rf "$folder"
    exit "$code"
}
trap end EXIT

command -v "$kind" >/dev/null || { echo "kind.sh: $kind is missing; install kind, or name it with KIND" >&2; exit 1; }
command -v "${KUBECTL:-kubectl}" >/dev/null || { echo "kind.sh: kubectl is missing; install it, or name it with KUBECTL" >&2; exit 1; }
image=()
[ -z "${KIND_IMAGE:-}" ] || image=(--image "$KIND_IMAGE")
"$kind" create cluster --name "$name" --kubeconfig "$kubeconfig" --wait 180s ${image[@]+"${image[@]}"}
STATUSGUARD_E2E_KUBECONFIG=$kubeconfig STATUSGUARD_E2E_LOAD="$kind load image-archive {archive} --name $name" \
    cargo test --locked --test e2e -- --ignored --nocapture
