-- What kamailio.cfg does in its native script, in Lua by KEMI.

local gateways = {
	["206"] = "127.0.0.21:16080",
	["303"] = "127.0.0.22:16080",
}

local function within_dialog()
	if KSR.rr.loose_route() > 0 then
		KSR.tm.t_relay()
	elseif KSR.is_ACK() then
		-- For a final answer of this proxy's own.
		if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end
	else
		KSR.sl.sl_send_reply(404, "Not Found")
	end
end

-- 9 and ten digits become E.164; the area code says which gateway.
local function pstn()
	local number = string.match(KSR.pv.get("$rU") or "", "^9(%d%d%d%d%d%d%d%d%d%d)$")
	local gateway = number and gateways[string.sub(number, 1, 3)]
	if not gateway then return false end
	KSR.seturi("sip:+1" .. number .. "@" .. gateway)
	return true
end

function ksr_request_route()
	if KSR.maxfwd.process_maxfwd(10) < 0 then
		KSR.sl.sl_send_reply(483, "Too Many Hops")
		return
	end
	if KSR.siputils.has_totag() > 0 then return within_dialog() end
	if KSR.is_CANCEL() then
		if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end
		return
	end
	-- 0 for a retransmission.
	if KSR.tm.t_check_trans() == 0 then return end
	if not KSR.is_INVITE() then
		KSR.sl.sl_send_reply(405, "Method Not Allowed")
		return
	end
	if not pstn() then
		KSR.sl.sl_send_reply(404, "Not Found")
		return
	end
	KSR.rr.record_route()
	KSR.dialog.dlg_manage()
	KSR.tm.t_relay()
end
