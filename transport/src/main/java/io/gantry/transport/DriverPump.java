package io.gantry.transport;

import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import org.agrona.ErrorHandler;
import org.agrona.concurrent.Agent;
import org.agrona.concurrent.AgentInvoker;

/**
 * Turns Aeron's driver and client, which have no threads of their own here. One turn at a time, taken by
 *
 * <ul>
 *   <li>threads that send or poll a stream ({@link #help}): the copy into the socket happens on the core whose cache holds the
 *       page, and no hand-over between threads lies in a migration's pause;
 *   <li>a background thread otherwise, which keeps heartbeats and retransmissions alive while stream threads are busy
 *       elsewhere, and which runs all commands to the client ({@link #call}).
 * </ul>
 *
 * With no stream open the background thread turns 100 times a second; with one 1000 times, which is enough
 * for what has no hurry: what has is done by the streams' own threads, which wait as {@link BackOff} says.
 *
 * <p>Aeron's {@link AgentInvoker} is by-passed: it stops for ever when a thread that invokes it happens to be interrupted.
 */
final class DriverPump implements AutoCloseable {
  private static final long IDLE_PARK_NS = 10_000_000;
  private static final long ALERT_PARK_NS = 1_000_000;

  private final Agent driver;
  private final ErrorHandler errors;
  private final ReentrantLock turn = new ReentrantLock();
  private final Queue<FutureTask<?>> commands = new ConcurrentLinkedQueue<>();
  private final Thread thread;
  private final long lingerNs;
  private AgentInvoker client;
  private volatile int openStreams;
  private volatile long lastHelpNs;
  private volatile long alertUntilNs;
  private volatile boolean closing;

  /** @param lingerNs how long to stay alert after the last stream closed, for retransmissions */
  DriverPump(AgentInvoker driver, String threadName, long lingerNs, ErrorHandler errors) {
    this.driver = driver.agent();
    this.errors = errors;
    this.lingerNs = lingerNs;
    long nowNs = System.nanoTime();
    lastHelpNs = nowNs - ALERT_PARK_NS;
    alertUntilNs = nowNs;
    thread = Thread.ofPlatform().daemon().name(threadName).unstarted(this::run);
  }

  /** Starts the background thread once there is a client. */
  void start(AgentInvoker client) {
    this.client = client;
    thread.start();
  }

  /** Takes one turn of the driver if nobody else has it; for threads of streams. Returns 0 when there was nothing to do. */
  int help() {
    if (!turn.tryLock()) {
      return 0;
    }
    // An interrupt that finds a file being mapped inside would close it: the flag is put back afterwards.
    boolean interrupted = Thread.interrupted();
    try {
      lastHelpNs = System.nanoTime();
      return turnDriver();
    } finally {
      turn.unlock();
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /**
   * Runs a command on the background thread, where alone Aeron's client may be used.
   *
   * @throws TransportException when it did not answer within {@code patience}, or the transport is closed
   */
  <T> T call(String what, Duration patience, Callable<T> command) {
    if (Thread.currentThread() == thread) {
      throw new IllegalStateException("The transport's own thread cannot wait for itself: " + what);
    }
    FutureTask<T> task = new FutureTask<>(command);
    commands.add(task);
    LockSupport.unpark(thread);
    if (closing) {
      task.cancel(false);
    }
    boolean interrupted = false;
    long deadlineNs = System.nanoTime() + patience.toNanos();
    try {
      while (true) {
        try {
          return task.get(deadlineNs - System.nanoTime(), TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    } catch (TimeoutException e) {
      task.cancel(false);
      throw new TransportException(what + ": the transport's thread did not answer within " + patience.toMillis() + " ms");
    } catch (java.util.concurrent.CancellationException e) {
      throw new TransportException(what + ": the transport is closed");
    } catch (ExecutionException e) {
      if (e.getCause() instanceof TransportException known) {
        throw known;
      }
      throw new TransportException(what + ": " + AeronErrors.sentence(e.getCause()), e.getCause());
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /** Runs a command on the background thread some time soon. */
  void post(Runnable command) {
    commands.add(
        new FutureTask<>(
            () -> {
              try {
                command.run();
              } catch (RuntimeException e) {
                errors.onError(e);
              }
            },
            true));
    LockSupport.unpark(thread);
  }

  /** A stream is open from now on. */
  synchronized void streamOpened() {
    openStreams++;
    LockSupport.unpark(thread);
  }

  /** One stream less. */
  synchronized void streamClosed() {
    openStreams--;
    alertUntilNs = System.nanoTime() + lingerNs;
  }

  private void run() {
    boolean ownTurn = true;
    while (!closing) {
      runCommands();
      long nowNs = System.nanoTime();
      boolean alert = openStreams > 0 || alertUntilNs - nowNs > 0;
      if (alert && !ownTurn && nowNs - lastHelpNs < ALERT_PARK_NS) {
        // One own turn after each rest, or the client's events would wait as long as the help lasts.
        ownTurn = true;
        LockSupport.parkNanos(this, ALERT_PARK_NS);
        continue;
      }
      ownTurn = false;
      if (turn() == 0) {
        LockSupport.parkNanos(this, alert ? ALERT_PARK_NS : IDLE_PARK_NS);
      }
    }
    FutureTask<?> late;
    while ((late = commands.poll()) != null) {
      late.cancel(false);
    }
  }

  private int turn() {
    turn.lock();
    try {
      return turnDriver() + turnClient();
    } finally {
      turn.unlock();
    }
  }

  private void runCommands() {
    FutureTask<?> command;
    while ((command = commands.poll()) != null) {
      turn.lock();
      try {
        command.run();
      } finally {
        turn.unlock();
      }
    }
  }

  private int turnDriver() {
    try {
      return driver.doWork();
    } catch (Exception | LinkageError | InternalError e) {
      // InternalError is what the JVM makes of a mapped page that could not be had, as when /dev/shm is full.
      errors.onError(e);
      return 0;
    }
  }

  private int turnClient() {
    try {
      return client.invoke();
    } catch (Exception | LinkageError | InternalError e) {
      errors.onError(e);
      return 0;
    }
  }

  /** Stops the background thread; commands that wait are cancelled. */
  @Override
  public void close() {
    closing = true;
    LockSupport.unpark(thread);
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
