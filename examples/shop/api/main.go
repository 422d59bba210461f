// Api is the shop's API.
//
//	GET  /products          all products, from the cache where it has them
//	POST /products/ID/buy   takes one out of the stock
//	GET  /health
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
)

type product struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Stock int    `json:"stock"`
}

type shop struct {
	db    *sql.DB
	cache *redis.Client
	ttl   time.Duration
}

const cacheKey = "products"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	ttl, err := time.ParseDuration(os.Getenv("CACHE_TTL"))
	if err != nil {
		log.Fatal(err)
	}
	s := shop{db: db, cache: redis.NewClient(&redis.Options{Addr: os.Getenv("CACHE")}), ttl: ttl}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /products", s.products)
	mux.HandleFunc("POST /products/{id}/buy", s.buy)
	server := &http.Server{Addr: os.Getenv("LISTEN"), Handler: mux}
	go func() {
		log.Print("listening on ", server.Addr)
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	server.Shutdown(context.Background()) // answers what is under way
}

func (s shop) health(w http.ResponseWriter, r *http.Request) {
	err := errors.Join(s.db.PingContext(r.Context()), s.cache.Ping(r.Context()).Err())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s shop) products(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if cached, err := s.cache.Get(r.Context(), cacheKey).Bytes(); err == nil {
		w.Header().Set("X-Cache", "hit")
		w.Write(cached)
		return
	}
	all, err := s.list(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body, _ := json.Marshal(all)
	s.cache.Set(r.Context(), cacheKey, body, s.ttl)
	w.Header().Set("X-Cache", "miss")
	w.Write(body)
}

func (s shop) list(ctx context.Context) ([]product, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, name, stock FROM products ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []product
	for rows.Next() {
		var p product
		if err := rows.Scan(&p.ID, &p.Name, &p.Stock); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

func (s shop) buy(w http.ResponseWriter, r *http.Request) {
	done, err := s.db.ExecContext(r.Context(),
		"UPDATE products SET stock = stock - 1 WHERE id = $1 AND stock > 0", r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if n, _ := done.RowsAffected(); n == 0 {
		http.Error(w, "sold out", http.StatusConflict)
		return
	}
	s.cache.Del(r.Context(), cacheKey)
	fmt.Fprintln(w, "sold")
}
