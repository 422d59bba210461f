package load

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is a project of n services as people write them.
func sample(n int) string {
	var b strings.Builder
	b.WriteString("name: bench\nx-common: &common\n  restart: unless-stopped\n  logging: {driver: json-file, options: {max-size: 10m}}\nservices:\n")
	for i := range n {
		fmt.Fprintf(&b, `  svc%[1]d:
    <<: *common
    image: registry.example.com/team/app-%[1]d:${TAG:-latest}
    command: ["serve", "--port", "80%02[2]d"]
    environment:
      LOG_LEVEL: ${LOG_LEVEL:-info}
      DATABASE_URL: postgres://app:secret@db:5432/app%[1]d
      WORKERS: 4
      FEATURE_%[1]d: "true"
    ports:
      - "%[3]d:8080"
    volumes:
      - ./src/%[1]d:/app:ro
      - data%[1]d:/var/lib/data
    networks: [front, back]
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8080/health"]
      interval: 10s
      timeout: 3s
      retries: 5
    deploy:
      resources:
        limits: {cpus: "0.5", memory: 256M}
    labels:
      com.example.team: platform
      com.example.index: "%[1]d"
`, i, i%100, 10000+i)
		if i > 0 {
			fmt.Fprintf(&b, "    depends_on:\n      svc%d: {condition: service_healthy}\n", i-1)
		}
	}
	b.WriteString("networks:\n  front:\n  back: {internal: true}\nvolumes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  data%d:\n", i)
	}
	return b.String()
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1, 50} {
		file := filepath.Join(b.TempDir(), "compose.yaml")
		if err := os.WriteFile(file, []byte(sample(n)), 0o644); err != nil {
			b.Fatal(err)
		}
		o := Options{Files: []string{file}, Environ: hostEnv()}
		b.Run(fmt.Sprintf("ours/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Load(context.Background(), o); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("compose-go/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := oracle(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
