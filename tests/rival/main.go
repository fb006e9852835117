// Command rival updates one object's status the way controllers written with
// client-go do today: RetryOnConflict around a live GET and an UpdateStatus.
//
// It speaks the protocol of the bench's workers: it prints "ready", waits for
// a line on standard input, works, prints one line of JSON, and ends when
// standard input does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
)

// update is what became of one update.
type update struct {
	ID     string `json:"id"`
	Acked  bool   `json:"acked"`
	Micros int64  `json:"micros"`
}

// report is the line of JSON.
type report struct {
	ElapsedMicros int64    `json:"elapsed_micros"`
	Requests      int64    `json:"requests"`
	Conflicts     int64    `json:"conflicts"`
	Updates       []update `json:"updates"`
}

// counting counts what goes over the wire.
type counting struct {
	inner     http.RoundTripper
	requests  atomic.Int64
	conflicts atomic.Int64
}

func (c *counting) RoundTrip(request *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	response, err := c.inner.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusConflict {
		c.conflicts.Add(1)
	}
	return response, err
}

var resource = schema.GroupVersionResource{Group: "bench.statusguard.dev", Version: "v1", Resource: "tallies"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rival:", err)
		os.Exit(1)
	}
}

func run() error {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	namespace := flag.String("namespace", "", "namespace of the object")
	name := flag.String("name", "", "name of the object")
	process := flag.Int("process", 0, "number of this process, part of every identity")
	writers := flag.Int("writers", 1, "goroutines that write")
	updates := flag.Int("updates", 1, "updates of each")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	// No limit on the client's side: only the API server's speed counts.
	config.QPS = -1
	wire := &counting{}
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper {
		wire.inner = inner
		return wire
	})
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	objects := client.Resource(resource).Namespace(*namespace)

	// The connection stands before the work begins.
	if _, err := objects.Get(context.Background(), *name, metav1.GetOptions{}); err != nil {
		return err
	}
	wire.requests.Store(0)

	input := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	if _, err := input.ReadString('\n'); err != nil {
		return errors.New("standard input ended before the start")
	}
	go func() {
		// Nobody waits for the result any more.
		_, _ = input.ReadString('\n')
		os.Exit(0)
	}()

	results := make([]update, *writers**updates)
	var group sync.WaitGroup
	begun := time.Now()
	for writer := range *writers {
		group.Go(func() {
			for number := range *updates {
				id := fmt.Sprintf("%d-%d-%d", *process, writer, number)
				start := time.Now()
				err := add(objects, *name, id)
				results[writer**updates+number] = update{id, err == nil, time.Since(start).Microseconds()}
			}
		})
	}
	group.Wait()
	elapsed := time.Since(begun)

	return json.NewEncoder(os.Stdout).Encode(report{
		ElapsedMicros: elapsed.Microseconds(),
		Requests:      wire.requests.Load(),
		Conflicts:     wire.conflicts.Load(),
		Updates:       results,
	})
}

// add counts one up and appends an entry, on the live object.
func add(objects dynamic.ResourceInterface, name, id string) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		ctx := context.Background()
		object, err := objects.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		count, _, err := unstructured.NestedInt64(object.Object, "status", "count")
		if err != nil {
			return err
		}
		entries, _, err := unstructured.NestedSlice(object.Object, "status", "entries")
		if err != nil {
			return err
		}
		entries = append(entries, map[string]any{"id": id})
		object.Object["status"] = map[string]any{"count": count + 1, "entries": entries}
		_, err = objects.UpdateStatus(ctx, object, metav1.UpdateOptions{})
		return err
	})
}
