package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.linux.DirectoryWatch;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * What has changed in a tree since it was asked last: names in directories, gathered from the kernel by a thread of its own so that its queue does not
 * overflow. When it does, or when more directories may not be watched, anything may have changed. Any thread.
 */
final class TreeChanges implements AutoCloseable {
  private static final int WAIT_MS = 100;

  /**
   * @param names that were changed, by directory; the empty name is the directory itself
   * @param directories places where a directory was made or moved to
   * @param all anything may have been changed
   */
  record Changes(Map<Inode, Set<String>> names, Set<Inode.Place> directories, boolean all) {}

  private final DirectoryWatch watch = new DirectoryWatch();
  private final Map<Integer, Inode> directories = new HashMap<>();
  private final Thread reader;
  private Map<Inode, Set<String>> names = new LinkedHashMap<>();
  private Set<Inode.Place> came = new HashSet<>();
  private boolean all;
  private boolean limited;
  private volatile boolean closed;

  TreeChanges(String tree) {
    reader = Thread.ofPlatform().daemon().name("watches " + tree).start(this::gather);
  }

  private void gather() {
    while (!closed) {
      watch.await(WAIT_MS);
      synchronized (this) {
        if (!closed) {
          drain();
        }
      }
    }
  }

  private void drain() {
    watch.drain(
        new DirectoryWatch.Changes() {
          @Override
          public void changed(int number, String name, boolean directoryCame) {
            var directory = directories.get(number);
            if (directory != null) {
              names.computeIfAbsent(directory, d -> new HashSet<>()).add(name);
              if (directoryCame) {
                came.add(new Inode.Place(directory, name));
              }
            }
          }

          @Override
          public void overflowed() {
            all = true;
          }
        });
  }

  /** Watches a directory from here on. @param fd of any kind */
  synchronized void add(Inode directory, int fd) {
    // What it has seen so far is another directory's, if the number is used again.
    int number = watch.add(fd);
    if (number == -Errno.ENOSPC) {
      limited = true;
    } else if (number < 0) {
      throw new KernelException("inotify_add_watch(a directory)", -number);
    } else {
      directory.watch = number;
      directories.put(number, directory);
    }
  }

  synchronized void remove(Inode directory) {
    if (directory.watch >= 0) {
      watch.remove(directory.watch);
      directories.remove(directory.watch, directory);
      directory.watch = -1;
    }
  }

  /** Everything up to now; the next call tells only of what comes behind it. */
  synchronized Changes take() {
    drain();
    var taken = new Changes(names, came, all || limited);
    names = new LinkedHashMap<>();
    came = new HashSet<>();
    all = false;
    return taken;
  }

  @Override
  public void close() {
    synchronized (this) {
      closed = true;
    }
    try {
      reader.join();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    watch.close();
  }
}
