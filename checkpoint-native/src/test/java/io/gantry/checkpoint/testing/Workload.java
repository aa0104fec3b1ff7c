package io.gantry.checkpoint.testing;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.zip.CRC32C;

/**
 * A real program under test: compiled from {@code src/test/workloads/NAME.c} (which the test jar carries as {@code workloads/NAME.c}),
 * started, listened to, and killed on {@link #close()}.
 */
public final class Workload implements AutoCloseable {
  private static final Duration COMPILE_MAX = Duration.ofSeconds(60);
  private static final Duration CLOSE_MAX = Duration.ofSeconds(10);

  private final String name;
  /** Not the program itself but {@code start.c}, its parent: Java must not be the parent of a process that Java traces. */
  private final Process process;

  private final int pid;
  private final List<String> lines = new ArrayList<>();

  private Workload(String name, Process process) {
    this.name = name;
    this.process = process;
    this.pid = readPid();
    Thread.ofPlatform().daemon().name("output of " + name).start(this::listen);
  }

  /** Compiles {@code workloads/NAME.c} with gcc, once per content; returns the program. */
  public static Path compile(String name) {
    try (var in = Workload.class.getResourceAsStream("/workloads/" + name + ".c")) {
      if (in == null) {
        throw new IllegalArgumentException("there is no test workload workloads/" + name + ".c on the class path");
      }
      byte[] source = in.readAllBytes();
      var hash = new CRC32C();
      hash.update(source);
      var directory = Files.createDirectories(Path.of("target", "workloads").toAbsolutePath());
      var program = directory.resolve(name + "-" + Long.toHexString(hash.getValue()));
      if (!Files.isExecutable(program)) {
        compile(name, source, directory, program);
      }
      return program;
    } catch (IOException e) {
      throw new UncheckedIOException("compiling test workload " + name, e);
    }
  }

  private static void compile(String name, byte[] source, Path directory, Path program) throws IOException {
    var scratch = Files.createTempDirectory(directory, name);
    try {
      var file = Files.write(scratch.resolve(name + ".c"), source);
      var output = scratch.resolve("out");
      Process gcc;
      try {
        gcc =
            new ProcessBuilder("gcc", "-O1", "-g", "-Wall", "-Werror", "-D_GNU_SOURCE", "-pthread", "-o", output.toString(), file.toString(), "-lrt")
                .redirectErrorStream(true)
                .start();
      } catch (IOException e) {
        throw new IllegalStateException("the tests compile C programs and gcc is missing: apt-get install gcc libc6-dev", e);
      }
      String messages = new String(gcc.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (!waitFor(gcc, COMPILE_MAX) || gcc.exitValue() != 0) {
        throw new IllegalStateException("gcc does not compile test workload " + name + ":\n" + messages);
      }
      // Two test runs may compile the same program: each moves a complete file into place.
      Files.move(output, program, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      try (var left = Files.list(scratch)) {
        for (var file : left.toList()) {
          Files.delete(file);
        }
      }
      Files.delete(scratch);
    }
  }

  /** Compiles and starts; standard error goes to the same lines as standard output. */
  public static Workload start(String name, String... arguments) {
    var command = new ArrayList<String>();
    command.add(compile(name).toString());
    command.addAll(List.of(arguments));
    return run(name, command);
  }

  /** Starts any command as a workload. */
  public static Workload run(String name, List<String> command) {
    try {
      var all = new ArrayList<String>();
      all.add(compile("start").toString());
      all.addAll(command);
      return new Workload(name, new ProcessBuilder(all).redirectErrorStream(true).start());
    } catch (IOException e) {
      throw new UncheckedIOException("starting " + command, e);
    }
  }

  private int readPid() {
    try {
      var line = new StringBuilder();
      for (int c = process.getInputStream().read(); c >= 0 && c != '\n'; c = process.getInputStream().read()) {
        line.append((char) c);
      }
      return Integer.parseInt(line.substring(line.indexOf(" ") + 1));
    } catch (IOException e) {
      throw new UncheckedIOException("starting " + name, e);
    }
  }

  private void listen() {
    try (var reader = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        synchronized (lines) {
          lines.add(line);
          lines.notifyAll();
        }
      }
    } catch (IOException closed) {
      // The process was killed.
    } finally {
      synchronized (lines) {
        lines.notifyAll();
      }
    }
  }

  public int pid() {
    return pid;
  }

  public boolean alive() {
    return process.isAlive();
  }

  /** Everything it has written so far. */
  public List<String> lines() {
    synchronized (lines) {
      return List.copyOf(lines);
    }
  }

  /** The first line that starts with {@code prefix}, waiting for it; fails with all that was written. */
  public String awaitLine(String prefix, Duration limit) {
    return awaitLine(0, line -> line.startsWith(prefix), "a line that starts with \"" + prefix + "\"", limit);
  }

  /** The first line at or behind index {@code from} that {@code wanted} accepts, waiting for it. */
  public String awaitLine(int from, Predicate<String> wanted, String description, Duration limit) {
    long end = System.nanoTime() + limit.toNanos();
    synchronized (lines) {
      int next = from;
      while (true) {
        for (; next < lines.size(); next++) {
          if (wanted.test(lines.get(next))) {
            return lines.get(next);
          }
        }
        long left = end - System.nanoTime();
        if (left <= 0) {
          throw new AssertionError(name + " did not write " + description + " within " + limit + "; it wrote " + lines);
        }
        try {
          TimeUnit.NANOSECONDS.timedWait(lines, left);
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
          throw new AssertionError("interrupted while waiting for " + name, e);
        }
      }
    }
  }

  /** Writes a line to its standard input. */
  public void send(String line) {
    try {
      process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
      process.getOutputStream().flush();
    } catch (IOException e) {
      throw new UncheckedIOException("writing to " + name, e);
    }
  }

  /** Waits for the end; returns the exit status. */
  public int awaitExit(Duration limit) {
    if (!waitFor(process, limit)) {
      throw new AssertionError(name + " did not end within " + limit + "; it wrote " + lines());
    }
    return process.exitValue();
  }

  private static boolean waitFor(Process process, Duration limit) {
    try {
      return process.waitFor(limit.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted while waiting for a process", e);
    }
  }

  /** Kills it and its descendants and waits until it is gone. */
  @Override
  public void close() {
    // Ends by itself when the program has ended.
    process.descendants().forEach(ProcessHandle::destroyForcibly);
    if (!waitFor(process, CLOSE_MAX)) {
      throw new AssertionError(name + " (process " + pid + ") cannot be killed");
    }
  }
}
