package io.gantry.node.workload;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Exchanger;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * Holds memory and checks, all the time and in several threads, that nothing happened to it: every page has the content and version
 * it must have, an open file has what was appended, timers are neither early nor lost, threads hear each other. Measures its own gaps.
 *
 * <p>Arguments: directory for its files, bytes of memory. Writes {@code status.json} there ({@link StatusFile}); ends when a file
 * {@code stop} appears, after one last look at every page. Exit status 0 when all was well, 1 otherwise.
 */
public final class SelfCheckingProgram {
  private static final int PAGE_THREADS = 4;
  private static final int FILE_MAPPING_BYTES = 16 << 20;
  private static final long STEP_NS = 5_000_000;
  private static final int REWRITES_PER_STEP = 8;
  private static final int CHECKS_PER_STEP = 64;
  private static final int TIMERS = 8;
  private static final long TIMER_LOST_NS = 30_000_000_000L;

  private final Path directory;
  private final Checks checks = new Checks();
  private final GapClock clock = new GapClock();
  private final List<CheckedPages> regions = new ArrayList<>();
  private final List<Thread> threads = new ArrayList<>();
  private final AtomicLong timersPending = new AtomicLong();
  private final AtomicLong timerFiredNs = new AtomicLong(System.nanoTime());
  private volatile boolean running = true;

  private SelfCheckingProgram(Path directory) {
    this.directory = directory;
  }

  public static void main(String[] arguments) throws Exception {
    var program = new SelfCheckingProgram(Path.of(arguments[0]));
    System.exit(program.run(Long.parseLong(arguments[1])) ? 0 : 1);
  }

  private boolean run(long memoryBytes) throws Exception {
    try (var arena = Arena.ofShared();
        var status = new StatusFile(directory.resolve("status.json"));
        var timers = Executors.newScheduledThreadPool(2)) {
      allocate(arena, memoryBytes);
      for (CheckedPages region : regions) {
        start("fill", region::fill);
      }
      for (Thread filler : threads) {
        while (filler.isAlive()) {
          filler.join(100);
          status.write("starting", 0, 0, "", clock.snapshot());
        }
      }
      threads.clear();
      for (CheckedPages region : regions) {
        start("pages", () -> pages(region));
      }
      start("file", this::file);
      var exchanger = new Exchanger<Long>();
      start("left", () -> talk(exchanger, 0));
      start("right", () -> talk(exchanger, 1));
      for (int i = 0; i < TIMERS; i++) {
        timer(timers, new SplittableRandom(i));
      }
      var clockThread = new Thread(clock, "clock");
      clockThread.setPriority(Thread.MAX_PRIORITY);
      clockThread.start();
      clock.reset();
      report(status);
      running = false;
      for (Thread thread : threads) {
        thread.join();
      }
      timers.shutdownNow();
      clock.stop();
      clockThread.join();
      for (CheckedPages region : regions) {
        region.verifyAll(checks);
      }
      status.write("ended", checks.made(), checks.failed(), checks.first(), clock.snapshot());
      System.out.println(checks.made() + " checks, " + checks.failed() + " errors. " + checks.first());
      return checks.failed() == 0;
    }
  }

  private void allocate(Arena arena, long memoryBytes) throws IOException {
    long pagesLeft = Math.max(memoryBytes, 1 << 20) / CheckedPages.PAGE_BYTES;
    long number = 0;
    if (memoryBytes > 4L * FILE_MAPPING_BYTES) {
      Path file = directory.resolve("mapped");
      try (var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
        channel.write(ByteBuffer.allocate(1), FILE_MAPPING_BYTES - 1);
        MemorySegment mapping = channel.map(FileChannel.MapMode.PRIVATE, 0, FILE_MAPPING_BYTES, arena);
        regions.add(new CheckedPages(mapping, number, "the private file mapping"));
      }
      number += FILE_MAPPING_BYTES / CheckedPages.PAGE_BYTES;
      pagesLeft -= number;
    }
    for (int i = 0; i < PAGE_THREADS; i++) {
      long pages = pagesLeft / (PAGE_THREADS - i);
      MemorySegment segment = arena.allocate(pages * CheckedPages.PAGE_BYTES, CheckedPages.PAGE_BYTES);
      regions.add(new CheckedPages(segment, number, "mapping " + i));
      number += pages;
      pagesLeft -= pages;
    }
  }

  private void start(String name, Runnable task) {
    var thread =
        new Thread(
            () -> {
              try {
                task.run();
              } catch (RuntimeException failure) {
                checks.fail("The thread '" + name + "' ended with " + failure);
              }
            },
            name);
    threads.add(thread);
    thread.start();
  }

  private void pages(CheckedPages region) {
    var random = new SplittableRandom(region.hashCode());
    int cursor = 0;
    while (running) {
      region.step(random, REWRITES_PER_STEP, cursor, CHECKS_PER_STEP, checks);
      cursor = (cursor + CHECKS_PER_STEP) % region.count();
      LockSupport.parkNanos(STEP_NS);
    }
  }

  /** Appends numbers through one descriptor and reads them again through another, whose position must go on where it was. */
  private void file() {
    Path path = directory.resolve("journal");
    try (var writer = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, StandardOpenOption.APPEND);
        var reader = FileChannel.open(path, StandardOpenOption.READ)) {
      var bytes = ByteBuffer.allocate(10);
      for (long number = 0; running; number++) {
        byte[] line = String.format("%09d%n", number).getBytes(StandardCharsets.US_ASCII);
        writer.write(ByteBuffer.wrap(line));
        long expected = number;
        bytes.clear();
        int count = reader.read(bytes);
        checks.check(
            count == line.length && java.util.Arrays.equals(bytes.array(), line),
            () -> "The journal says '" + new String(bytes.array(), StandardCharsets.US_ASCII).strip() + "' instead of " + expected);
        long size = writer.size();
        checks.check(size == (expected + 1) * line.length, () -> "The journal has " + size + " bytes after " + expected + " lines");
        LockSupport.parkNanos(STEP_NS);
      }
    } catch (IOException failure) {
      checks.fail("The journal cannot be used: " + failure);
    }
  }

  /** Two threads that must meet, again and again. */
  private void talk(Exchanger<Long> exchanger, int side) {
    long number = 0;
    long waitedMs = 0;
    while (running && waitedMs < 30_000) {
      try {
        long heard = exchanger.exchange(number * 2 + side, 100, TimeUnit.MILLISECONDS);
        long expected = number * 2 + (1 - side);
        checks.check(heard == expected, () -> "A thread heard " + heard + " instead of " + expected);
        number++;
        waitedMs = 0;
        LockSupport.parkNanos(STEP_NS / 5);
      } catch (TimeoutException notYet) {
        waitedMs += 100;
      } catch (InterruptedException unexpected) {
        checks.fail("A thread was interrupted, and nobody does that here.");
        return;
      }
    }
    checks.check(waitedMs < 30_000, () -> "A thread waited 30 s for another one.");
  }

  /** A timer that sets itself again, for a random time between 1 ms and 1.5 s, and looks whether it came early. */
  private void timer(ScheduledExecutorService timers, SplittableRandom random) {
    long delayNs = 1_000_000 + random.nextLong(1_500_000_000L);
    long dueNs = System.nanoTime() + delayNs;
    timersPending.incrementAndGet();
    timers.schedule(
        () -> {
          long earlyNs = dueNs - System.nanoTime();
          checks.check(earlyNs <= 0, () -> "A timer came " + earlyNs + " ns early.");
          timersPending.decrementAndGet();
          timerFiredNs.set(System.nanoTime());
          if (running) {
            timer(timers, random);
          }
        },
        delayNs,
        TimeUnit.NANOSECONDS);
  }

  private void report(StatusFile status) throws IOException {
    Path stop = directory.resolve("stop");
    while (!Files.exists(stop)) {
      // Every timer sets itself again within 1.5 s: all are pending but for those that two threads are handling just now.
      long pending = timersPending.get();
      long silentNs = System.nanoTime() - timerFiredNs.get();
      checks.check(pending >= TIMERS - 2, () -> pending + " timers are pending instead of " + TIMERS + ".");
      checks.check(silentNs < TIMER_LOST_NS, () -> "No timer has fired for " + silentNs / 1_000_000_000 + " s.");
      status.write("running", checks.made(), checks.failed(), checks.first(), clock.snapshot());
      LockSupport.parkNanos(STEP_NS * 4);
    }
  }
}
