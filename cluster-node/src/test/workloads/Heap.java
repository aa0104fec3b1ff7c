import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.zip.CRC32C;

/**
 * A Java program with dozens of threads and a heap that grows: structures that check themselves, garbage without pause, timers, locks,
 * queues, barriers, memory outside the heap, virtual threads. Usage: {@code Heap DIRECTORY MEBIBYTES THREADS}; may be corrupted with
 * {@code block, map, lock, direct, early}. Files and commands are those of report.h.
 */
final class Heap {
  private static final AtomicLong CHECKS = new AtomicLong();
  private static final AtomicLong ERRORS = new AtomicLong();
  private static final AtomicLong MAX_GAP_NS = new AtomicLong();
  /** All gaps of more than ten milliseconds together: what several moves during one wait add to it. */
  private static final AtomicLong ALL_GAPS_NS = new AtomicLong();

  private static final AtomicLong MAX_LATE_NS = new AtomicLong();
  private static final AtomicLong TICKS = new AtomicLong();
  private static final AtomicLong HELD_BYTES = new AtomicLong();
  private static final AtomicReference<String> CORRUPT = new AtomicReference<>("");

  private static Path directory;

  private Heap() {}

  public static void main(String[] arguments) throws Exception {
    directory = Path.of(arguments[0]);
    long bytesMax = Long.parseLong(arguments[1]) << 20;
    int threads = Integer.parseInt(arguments[2]);
    long startedNs = System.nanoTime();
    var blocks = new Blocks(bytesMax * 3 / 4, startedNs);
    var accounts = new Accounts();
    var index = new Index();
    var direct = new Direct((int) Math.min(bytesMax / 8, 64 << 20));
    start("watch", Heap::watchGaps);
    for (int i = 0; i < threads; i++) {
      long seed = i + 1;
      switch (i % 6) {
        case 0, 1 -> start("blocks-" + i, () -> forever(new SplittableRandom(seed), blocks::step));
        case 2 -> start("accounts-" + i, () -> forever(new SplittableRandom(seed), accounts::step));
        case 3 -> start("index-" + i, () -> forever(new SplittableRandom(seed), index::step));
        case 4 -> start("garbage-" + i, () -> forever(new SplittableRandom(seed), Heap::garbage));
        case 5 -> start("waits-" + i, () -> forever(new SplittableRandom(seed), Heap::timedWait));
        default -> throw new AssertionError(i);
      }
    }
    start("direct", () -> forever(new SplittableRandom(99), direct::step));
    handOver();
    meet();
    tick();
    start("virtual", Heap::virtualThreads);
    long beat = 0;
    while (!asked("finish")) {
      beat++;
      if (asked("corrupt")) {
        CORRUPT.set(Files.readString(directory.resolve("corrupt")).strip());
        Files.move(directory.resolve("corrupt"), directory.resolve("corrupted"));
      }
      replace(
          "status",
          "pid=" + ProcessHandle.current().pid() + "\nbeat=" + beat + "\nchecks=" + CHECKS + "\nerrors=" + ERRORS + "\nmax_gap_ms="
              + MAX_GAP_NS.get() / 1e6 + "\nruns_ms=" + (System.nanoTime() - startedNs) / 1_000_000 + "\nmax_late_ms="
              + MAX_LATE_NS.get() / 1e6 + "\nticks=" + TICKS + "\nheld_mib=" + (HELD_BYTES.get() >> 20) + "\nheap_mib="
              + (Runtime.getRuntime().totalMemory() >> 20) + "\nthreads=" + Thread.getAllStackTraces().size() + "\n");
      LockSupport.parkNanos(20_000_000);
    }
    blocks.verifyAll();
    accounts.verify();
    boolean clean = ERRORS.get() == 0 && !asked("errors");
    replace(
        "verdict",
        "verdict=" + (clean ? "ok" : "failed") + "\nchecks=" + CHECKS + "\nerrors=" + ERRORS + "\nmax_gap_ms=" + MAX_GAP_NS.get() / 1e6 + "\n");
    System.out.println("verdict: " + (clean ? "ok" : "failed"));
    Runtime.getRuntime().halt(clean ? 0 : 1);
  }

  private interface Step {
    void run(SplittableRandom random) throws Exception;
  }

  private interface Body {
    void run() throws Exception;
  }

  private static void start(String name, Body body) {
    Thread.ofPlatform().daemon().name(name).start(() -> guarded(name, body));
  }

  private static void guarded(String name, Body body) {
    try {
      body.run();
    } catch (Throwable unexpected) {
      error("thread " + name + " ended with " + unexpected);
    }
  }

  private static void forever(SplittableRandom random, Step step) throws Exception {
    while (true) {
      step.run(random);
      Thread.sleep(5 + random.nextInt(30));
    }
  }

  private static boolean asked(String name) {
    return Files.exists(directory.resolve(name));
  }

  private static boolean damageWanted(String what) {
    return CORRUPT.get().equals(what) && CORRUPT.compareAndSet(CORRUPT.get(), "");
  }

  private static void replace(String name, String text) throws IOException {
    Path fresh = directory.resolve(name + ".new");
    Files.writeString(fresh, text);
    Files.move(fresh, directory.resolve(name), StandardCopyOption.ATOMIC_MOVE);
  }

  private static void check(boolean condition, String sentence) {
    CHECKS.incrementAndGet();
    if (!condition) {
      error(sentence);
    }
  }

  private static synchronized void error(String sentence) {
    if (ERRORS.incrementAndGet() > 200) {
      return;
    }
    System.out.println(sentence);
    try {
      Files.writeString(
          directory.resolve("errors"), sentence + "\n", StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND);
    } catch (IOException lost) {
      Runtime.getRuntime().halt(3);
    }
  }

  private static void watchGaps() throws InterruptedException {
    long before = System.nanoTime();
    while (true) {
      Thread.sleep(1);
      long after = System.nanoTime();
      check(after >= before, "the monotonic clock went back");
      MAX_GAP_NS.accumulateAndGet(after - before - 1_000_000, Math::max);
      if (after - before > 10_000_000) {
        ALL_GAPS_NS.addAndGet(after - before);
      }
      before = after;
    }
  }

  /** Whoever runs first after a gap asks before the watch has seen it, so the watch gets some time. */
  private static boolean isExplainedByGaps(long lateNs, long toleratedNs, long gapsBeforeNs) throws InterruptedException {
    for (int i = 0; i < 25 && lateNs >= toleratedNs + ALL_GAPS_NS.get() - gapsBeforeNs; i++) {
      Thread.sleep(20);
    }
    return lateNs < toleratedNs + ALL_GAPS_NS.get() - gapsBeforeNs;
  }

  /** Parks, sleeps and waits must neither end early nor much later than the longest gap explains. */
  private static void timedWait(SplittableRandom random) throws InterruptedException {
    long lengthMs = random.nextInt(4) == 0 ? 1000 + random.nextInt(2000) : 20 + random.nextInt(300);
    long gapsNs = ALL_GAPS_NS.get();
    long startedNs = System.nanoTime();
    var monitor = new Object();
    long asleepMs = damageWanted("early") ? 0 : lengthMs;
    if (random.nextBoolean()) {
      Thread.sleep(asleepMs);
    } else {
      synchronized (monitor) {
        for (long left = asleepMs; left > 0; left = asleepMs - (System.nanoTime() - startedNs) / 1_000_000) {
          monitor.wait(left);
        }
      }
    }
    long tookNs = System.nanoTime() - startedNs;
    long lateNs = tookNs - lengthMs * 1_000_000;
    MAX_LATE_NS.accumulateAndGet(lateNs, Math::max);
    check(lateNs >= 0, "a wait of " + lengthMs + " ms took " + tookNs / 1000 + " us");
    check(isExplainedByGaps(lateNs, 1_500_000_000L, gapsNs), "a wait of " + lengthMs + " ms took " + tookNs / 1_000_000 + " ms");
  }

  /** Byte arrays with their checksums; more and more of them until the limit, old ones replaced afterwards. */
  private static final class Blocks {
    private static final int BYTES = 256 << 10;
    private static final long GROW_NS = 20_000_000_000L;

    private record Block(long seed, byte[] bytes, int[] sum) {}

    private final List<Block> blocks = new ArrayList<>();
    private final int countMax;
    private final long startedNs;

    Blocks(long bytesMax, long startedNs) {
      countMax = (int) (bytesMax / BYTES);
      this.startedNs = startedNs;
    }

    private static int sumOf(byte[] bytes) {
      var sum = new CRC32C();
      sum.update(bytes);
      return (int) sum.getValue();
    }

    void step(SplittableRandom random) {
      // A quarter at once, the rest over twenty seconds: the heap keeps growing while the program is moved.
      double share = 0.25 + 0.75 * Math.min(1.0, (System.nanoTime() - startedNs) / (double) GROW_NS);
      int wanted = (int) (countMax * share);
      for (int i = 0; i < 6; i++) {
        long seed = random.nextLong();
        var bytes = new byte[BYTES];
        new SplittableRandom(seed).nextBytes(bytes);
        var fresh = new Block(seed, bytes, new int[] {sumOf(bytes)});
        Block old;
        synchronized (blocks) {
          if (blocks.size() < wanted) {
            blocks.add(fresh);
            HELD_BYTES.addAndGet(BYTES);
            continue;
          }
          old = blocks.set(random.nextInt(blocks.size()), fresh);
        }
        if (damageWanted("block")) {
          old.bytes()[1000] ^= 1;
        }
        verify(old);
      }
    }

    private static void verify(Block block) {
      int found = sumOf(block.bytes());
      check(found == block.sum()[0], "a block has checksum " + Integer.toHexString(found) + " instead of " + Integer.toHexString(block.sum()[0]));
    }

    void verifyAll() {
      synchronized (blocks) {
        blocks.forEach(Blocks::verify);
      }
    }
  }

  /** Money that moves under a read-write lock and monitors. */
  private static final class Accounts {
    private static final int COUNT = 1000;
    private static final long BALANCE = 1000;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    private final HashMap<Integer, Long> balances = new HashMap<>();

    Accounts() {
      for (int i = 0; i < COUNT; i++) {
        balances.put(i, BALANCE);
      }
    }

    void step(SplittableRandom random) {
      for (int i = 0; i < 50; i++) {
        lock.writeLock().lock();
        try {
          long amount = random.nextInt(100);
          balances.merge(random.nextInt(COUNT), -amount, Long::sum);
          balances.merge(random.nextInt(COUNT), damageWanted("lock") ? amount + 1 : amount, Long::sum);
        } finally {
          lock.writeLock().unlock();
        }
      }
      verify();
    }

    void verify() {
      lock.readLock().lock();
      try {
        long sum = balances.values().stream().mapToLong(Long::longValue).sum();
        check(sum == COUNT * BALANCE, "the accounts sum up to " + sum);
      } finally {
        lock.readLock().unlock();
      }
    }
  }

  /** A sorted map whose values follow from their keys. */
  private static final class Index {
    private final ConcurrentSkipListMap<Long, String> map = new ConcurrentSkipListMap<>();

    void step(SplittableRandom random) {
      for (int i = 0; i < 200; i++) {
        long key = random.nextLong(20_000);
        map.put(key, Long.toString(key * key));
        map.remove(random.nextLong(20_000));
      }
      if (damageWanted("map")) {
        map.put(-1L, "wrong");
      }
      long before = Long.MIN_VALUE;
      for (var entry : map.entrySet()) {
        check(entry.getKey() > before, "the sorted map is not sorted at " + entry.getKey());
        check(entry.getValue().equals(Long.toString(entry.getKey() * entry.getKey())), "key " + entry.getKey() + " has value " + entry.getValue());
        before = entry.getKey();
      }
    }
  }

  /** Memory outside the heap. */
  private static final class Direct {
    private final ByteBuffer buffer;
    private long generation;

    Direct(int bytes) {
      buffer = ByteBuffer.allocateDirect(bytes);
      fill();
    }

    private void fill() {
      for (int at = 0; at + 8 <= buffer.capacity(); at += 512) {
        buffer.putLong(at, generation * 31 + at);
      }
    }

    void step(SplittableRandom random) {
      if (damageWanted("direct")) {
        buffer.putLong(512 * 5, -1);
      }
      for (int at = 0; at + 8 <= buffer.capacity(); at += 512) {
        long found = buffer.getLong(at);
        check(found == generation * 31 + at, "memory outside the heap holds " + found + " at " + at);
      }
      if (random.nextInt(20) == 0) {
        generation++;
        fill();
      }
    }
  }

  private static void garbage(SplittableRandom random) {
    var chain = new ArrayList<String>();
    for (int i = 0; i < 2000; i++) {
      chain.add(Integer.toString(random.nextInt()).repeat(8));
    }
    int total = chain.stream().mapToInt(String::length).sum();
    check(total >= 2000 * 8, "garbage is too short");
  }

  /** Numbers through a bounded queue, in order. */
  private static void handOver() {
    var queue = new ArrayBlockingQueue<Long>(64);
    start("sender", () -> {
      for (long number = 0; ; number++) {
        queue.put(number);
        if (number % 200 == 0) {
          Thread.sleep(5);
        }
      }
    });
    start("receiver", () -> {
      for (long wanted = 0; ; wanted++) {
        Long got = queue.poll(20, TimeUnit.SECONDS);
        check(got != null && got == wanted, "number " + got + " came through the queue instead of " + wanted);
      }
    });
  }

  private static void meet() {
    int members = 4;
    var generation = new long[members];
    var barrier = new CyclicBarrier(members);
    for (int i = 0; i < members; i++) {
      int me = i;
      start("barrier-" + i, () -> {
        var random = new SplittableRandom(me);
        while (true) {
          Thread.sleep(random.nextInt(40));
          generation[me]++;
          barrier.await();
          for (long other : generation) {
            check(other == generation[me], "a barrier let generations " + other + " and " + generation[me] + " meet");
          }
          barrier.await();
        }
      });
    }
  }

  private static void tick() {
    var executor = Executors.newScheduledThreadPool(2, task -> {
      var thread = new Thread(task, "ticks");
      thread.setDaemon(true);
      return thread;
    });
    long startedNs = System.nanoTime();
    executor.scheduleAtFixedRate(TICKS::incrementAndGet, 10, 10, TimeUnit.MILLISECONDS);
    start("tick-check", () -> {
      while (true) {
        Thread.sleep(500);
        long wanted = (System.nanoTime() - startedNs) / 10_000_000;
        long behind = wanted - TICKS.get();
        String sentence = "a timer at 100 Hz has ticked " + TICKS + " times instead of " + wanted;
        check(behind > -3, sentence);
        check(behind < 150 || isExplainedByGaps(behind * 10_000_000, 1_500_000_000L, 0), sentence);
      }
    });
  }

  private static void virtualThreads() throws Exception {
    while (true) {
      var sum = new AtomicLong();
      var threads = new ArrayList<Thread>();
      for (int i = 1; i <= 100; i++) {
        int number = i;
        threads.add(Thread.startVirtualThread(() -> {
          LockSupport.parkNanos(number * 100_000L);
          sum.addAndGet(number);
        }));
      }
      for (Thread thread : threads) {
        thread.join();
      }
      check(sum.get() == 5050, "a hundred virtual threads summed up to " + sum);
      Thread.sleep(50);
    }
  }
}
