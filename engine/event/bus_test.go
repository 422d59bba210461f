package event

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"devstack/engine/api"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFilterAndOrder(t *testing.T) {
	var b Bus
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all := b.Subscribe(ctx, Filter{})
	web := b.Subscribe(ctx, Filter{Project: "shop", Services: []string{"web"}})
	b.Publish(api.Event{Project: "shop", Service: "db", Action: "start"})
	b.Publish(api.Event{Project: "blog", Service: "web", Action: "start"})
	b.Publish(api.Event{Project: "shop", Service: "web", Action: "die"})
	for _, want := range []string{"db", "web", "web"} {
		if e := <-all; e.Service != want || e.Time.IsZero() {
			t.Errorf("got %+v, want service %s with a time", e, want)
		}
	}
	if e := <-web; e.Project != "shop" || e.Action != "die" {
		t.Errorf("filtered subscriber got %+v", e)
	}
	cancel()
	if e, ok := <-web; ok {
		t.Errorf("after cancellation: %+v", e)
	}
	for range all {
	}
}

func TestSinceReplaysTheRing(t *testing.T) {
	var b Bus
	begin := time.Unix(1000, 0)
	for i := range history + 500 {
		b.Publish(api.Event{Time: begin.Add(time.Duration(i) * time.Second), Action: strconv.Itoa(i)})
	}
	stop := errors.New("enough")
	next := history + 200
	err := b.Follow(t.Context(), Filter{Since: begin.Add(time.Duration(next) * time.Second)}, func(e api.Event) error {
		if e.Action != strconv.Itoa(next) {
			t.Fatalf("got event %s, want %d", e.Action, next)
		}
		if next++; next == history+500 {
			return stop
		}
		return nil
	})
	if err != stop {
		t.Errorf("Follow = %v", err)
	}
}

func TestSlowSubscriberLosesTheOldest(t *testing.T) {
	var b Bus
	s := b.add(Filter{}) // nobody reads yet
	for i := range queue + 7 {
		b.Publish(api.Event{Action: strconv.Itoa(i)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got []api.Event
	b.serve(ctx, s, func(e api.Event) error {
		if got = append(got, e); len(got) == queue+1 {
			cancel()
		}
		return nil
	})
	if got[0].Action != ActionDropped || got[0].Attributes["count"] != "7" {
		t.Errorf("first event is %+v, want one that tells of 7 lost", got[0])
	}
	if got[1].Action != "7" || got[queue].Action != strconv.Itoa(queue+6) {
		t.Errorf("kept events %s to %s", got[1].Action, got[queue].Action)
	}
	if len(b.subs) != 0 {
		t.Error("the subscriber is still there")
	}
}
