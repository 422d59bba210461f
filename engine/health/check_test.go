package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devstack/compose"
)

func dur(d time.Duration) *compose.Duration { v := compose.Duration(d); return &v }
func num(n uint64) *uint64                  { return &n }

func TestEffective(t *testing.T) {
	image := &compose.Healthcheck{
		Test: []string{"CMD", "redis-cli", "ping"}, Interval: dur(3 * time.Second), Retries: num(7),
	}
	tests := []struct {
		name     string
		img, svc *compose.Healthcheck
		want     Check
		ok       bool
	}{
		{name: "neither"},
		{
			name: "defaults", svc: &compose.Healthcheck{Test: []string{"CMD-SHELL", "true"}}, ok: true,
			want: Check{
				Test: []string{"CMD-SHELL", "true"}, Interval: 30 * time.Second, Timeout: 30 * time.Second,
				StartInterval: 5 * time.Second, Retries: 3,
			},
		},
		{
			name: "image", img: image, ok: true,
			want: Check{
				Test: image.Test, Interval: 3 * time.Second, Timeout: 30 * time.Second,
				StartInterval: 3 * time.Second, Retries: 7,
			},
		},
		{
			name: "service over image, value by value", img: image, ok: true,
			svc: &compose.Healthcheck{
				Interval: dur(time.Second), StartPeriod: dur(time.Minute), StartInterval: dur(2 * time.Second),
			},
			want: Check{
				Test: image.Test, Interval: time.Second, Timeout: 30 * time.Second,
				StartPeriod: time.Minute, StartInterval: 2 * time.Second, Retries: 7,
			},
		},
		{
			name: "zero means inherited", img: image, ok: true,
			svc: &compose.Healthcheck{Interval: dur(0), Retries: num(0)},
			want: Check{
				Test: image.Test, Interval: 3 * time.Second, Timeout: 30 * time.Second,
				StartInterval: 3 * time.Second, Retries: 7,
			},
		},
		{name: "disable", img: image, svc: &compose.Healthcheck{Disable: true}},
		{name: "NONE over image", img: image, svc: &compose.Healthcheck{Test: []string{"NONE"}}},
		{name: "values without a test", svc: &compose.Healthcheck{Interval: dur(time.Second)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := Effective(tt.img, tt.svc)
			if ok != tt.ok {
				t.Fatalf("ok = %v, want %v", ok, tt.ok)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("check (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCommand(t *testing.T) {
	exec := Check{Test: []string{"CMD", "pg_isready", "-U", "app"}}
	shell := Check{Test: []string{"CMD-SHELL", "curl -f localhost || exit 1"}}
	tests := []struct {
		check Check
		shell []string
		want  []string
	}{
		{exec, nil, []string{"pg_isready", "-U", "app"}},
		{shell, nil, []string{"/bin/sh", "-c", "curl -f localhost || exit 1"}},
		{shell, []string{"/bin/bash", "-euc"}, []string{"/bin/bash", "-euc", "curl -f localhost || exit 1"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.check.Command(tt.shell)); diff != "" {
			t.Errorf("command (-want +got):\n%s", diff)
		}
	}
}
