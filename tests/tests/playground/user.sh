# What a user does in the playground. $1 is a folder with the files of this folder; the playground follows $1/crds and
# $1/policies. Prints what it sees.

create() {
    kubectl create --filename=- >/dev/null <<END
{"apiVersion": "example.org/v1", "kind": "$1", "metadata": {"name": "a"}}
END
}

# patch RESOURCE STATUS FLAGS...
patch() {
    resource=$1 status=$2
    shift 2
    kubectl patch "$resource" a --subresource=status --type=merge -p "{\"status\":$status}" "$@" >/dev/null 2>>"$log"
}

# eventually COMMAND...: tries it until it succeeds, and gives up after a minute or two
eventually() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "in vain: $*"; exit 1; }
        sleep 0.1
    done
}

# Whether the guard refuses a dry run.
is_refused() {
    ! patch "$1" "$2" --dry-run=server && tail -n 1 "$log" | grep -q "webhook .* denied the request"
}

is_allowed() {
    patch "$1" "$2" --dry-run=server
}

is_served() {
    kubectl get "$1" >/dev/null 2>&1
}

# Whether the webhook configuration has these entries and no others.
has_entries() {
    [ "$(kubectl get validatingwebhookconfigurations statusguard-local -o 'jsonpath={.webhooks[*].name}')" = "$1" ]
}

log=$1/kubectl.log
command -v kubectl

# its own kind, from the first moment on
create Widget
patch widgets '{"attempts":3}' --as=alice
echo "alice writes: $?"
patch widgets '{"attempts":2}' --as=bob
echo "bob writes what is stale: $?"

# a policy that is added, for one of Kubernetes' own kinds, and one that goes
mv "$1/deployments.policy.yaml" "$1/policies/"
rm "$1/policies/widgets.policy.yaml"
eventually has_entries deployments.apps.statusguard.dev
echo "the entries have followed"
kubectl create deployment a --image=none >/dev/null
patch deployments '{"observedGeneration":3}'
eventually is_refused deployments '{"observedGeneration":2}'
echo "deployments are guarded"

# a policy that changes
sed -i 's/observedGeneration/replicas/' "$1/policies/deployments.policy.yaml"
eventually is_allowed deployments '{"observedGeneration":2}'
echo "deployments are guarded otherwise"

# a policy whose kind comes later, and which is broken by then
echo 'a: [' >"$1/policies/gadgets.policy.yaml"
mv "$1/gadgets.crd.yaml" "$1/crds/"
eventually is_served gadgets
create Gadget
patch gadgets '{"attempts":3}'
eventually is_refused gadgets '{"attempts":2}'
echo "gadgets are guarded"
kubectl auth can-i update gadgets/status --as=bob
exit 7
