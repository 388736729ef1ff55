@echo off
rem As `play`, for Windows: play PORTLEASE PROGRAM ...   in a folder of its own. Writes `passed` if every example maps a port.
start "" /b %1 gateway --pcp-port 5351 --ssdp-port 1900 --keep-running >router.txt 2>&1 <nul
:wait
find "started" router.txt >nul || goto wait
:next
shift
if "%~1" == "" goto done
"%~1" 4000 127.0.0.1 5351 127.0.0.1:1900 >said.txt 2>&1 <nul
type said.txt
find "192.0.1.1:4000" said.txt >nul || goto failed
goto next
:done
echo passed
:failed
taskkill /f /im portlease.exe >nul
