"""Stop what a killed runner left: web, workers, scheduler, PostgreSQL and Valkey of this ECGFM_HOME, nothing else."""

from launcher.processes import stop_processes
from launcher.services import home, stop_services


def main() -> None:
    """Stop everything and say what was stopped."""
    folder = home()
    processes = stop_processes(folder)
    servers = stop_services(folder)
    print(f"{folder}: ", end="")
    if not processes and not servers:
        print("nothing was running.")
        return
    counted = [f"{len(processes)} processes"] if processes else []
    print(f"stopped {', '.join(counted + servers)}.")


if __name__ == "__main__":
    main()
