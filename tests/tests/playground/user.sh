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

# until_refused RESOURCE STATUS: tries a dry run until the guard refuses it
until_refused() {
    tries=0
    while patch "$1" "$2" --dry-run=server; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "$1: never refused"; exit 1; }
        sleep 0.1
    done
}

entries() {
    kubectl get validatingwebhookconfigurations statusguard-local -o 'jsonpath={.webhooks[*].name}'
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
mv "$1/jobs.policy.yaml" "$1/policies/"
rm "$1/policies/widgets.policy.yaml"
tries=0
until [ "$(entries)" = "jobs.batch.statusguard.dev" ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "entries: $(entries)"; exit 1; }
    sleep 0.1
done
echo "the entries have followed"
kubectl create job a --image=none >/dev/null
patch jobs '{"startTime":"2026-01-05T03:00:00Z"}'
until_refused jobs '{"startTime":"2026-01-05T03:00:01Z"}'
echo "jobs are guarded"

# a policy whose kind comes later
mv "$1/gadgets.crd.yaml" "$1/crds/"
until kubectl get gadgets >/dev/null 2>&1; do sleep 0.1; done
create Gadget
patch gadgets '{"attempts":3}'
until_refused gadgets '{"attempts":2}'
echo "gadgets are guarded"
kubectl auth can-i update gadgets/status --as=bob
exit 7
